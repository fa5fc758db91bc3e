"""DuckDB's side of script/bench fold, over a file of events. It is asked one of two things, a line each:

`count`: offered and answered by queue and half hour, by one group-by. Only the columns that this needs are declared, with their types, so
that nothing is inferred: of the ways tried (inferred types, every column as text, read_ndjson_objects with JSON paths) the quickest.

`fold`: what a fold is for, as far as SQL says it well: the stays of each call rebuilt by window functions (which events belong to which
stay, holds, who answered, how it ended), the spans of agents' and devices' states, and from them rows by queue and minute with quantiles of
the wait and the talk, by agent, team and device and quarter of an hour, by trunk, IVR node, source and tenant. It does less than ours:
spans are not clipped at borders, nothing is put right when an event comes late or is missing, no level is followed by the second, no
cohort, no live view.

Started with the file and the number of threads; answers each line with one line of JSON:
{"version", "wall_s", "cpu_s", "counts": [[queue, interval start in ms, offered, answered], …]}.
"""

import json
import sys
import time

# The script's own name must not shadow the package that it runs.
sys.path.pop(0)
import duckdb  # noqa: E402

COUNT = """
SELECT data.queue AS queue,
       epoch_ms(time_bucket(INTERVAL 30 MINUTES, time)) AS start,
       count(*) FILTER (type = 'call.queued.v1') AS offered,
       count(*) FILTER (type = 'call.answered.v1') AS answered
FROM read_json(?, format = 'newline_delimited',
               columns = {type: 'VARCHAR', time: 'TIMESTAMP', data: 'STRUCT(queue VARCHAR)'})
WHERE type IN ('call.queued.v1', 'call.answered.v1')
GROUP BY ALL
"""

EVENTS = """
CREATE OR REPLACE TEMP TABLE events AS
SELECT type, subject, source, tenant, epoch_ms(time) AS said, data.*
FROM read_json(?, format = 'newline_delimited',
               columns = {type: 'VARCHAR', subject: 'VARCHAR', source: 'VARCHAR', tenant: 'VARCHAR', time: 'TIMESTAMP',
                          data: 'STRUCT(queue VARCHAR, agent VARCHAR, team VARCHAR, device VARCHAR, state VARCHAR, cause VARCHAR,
                                        trunk VARCHAR, node VARCHAR, waited_ms BIGINT, wrap_up_ms BIGINT)'})
"""

STAYS = """
CREATE OR REPLACE TEMP TABLE stays AS
WITH told AS (
    SELECT *, count(*) FILTER (type = 'call.queued.v1') OVER told AS stay, lead(said) OVER told AS next_at
    FROM events WHERE type LIKE 'call.%'
    WINDOW told AS (PARTITION BY subject ORDER BY said, rowid ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT subject, stay, any_value(source) AS source, any_value(tenant) AS tenant,
       coalesce(max(queue) FILTER (type = 'call.queued.v1'), max(queue)) AS queue,
       min(said) FILTER (type = 'call.queued.v1') AS queued_at,
       min(said) FILTER (type = 'call.dequeued.v1') AS left_at,
       max(cause) FILTER (type = 'call.dequeued.v1') AS cause,
       min(said) FILTER (type = 'call.answered.v1') AS answered_at,
       max(agent) FILTER (type = 'call.answered.v1') AS agent,
       max(team) FILTER (type = 'call.answered.v1') AS team,
       max(device) FILTER (type = 'call.answered.v1') AS device,
       max(waited_ms) AS waited_ms,
       min(said) FILTER (type IN ('call.released.v1', 'call.transferred.v1')) AS released_at,
       coalesce(sum(next_at - said) FILTER (type = 'call.held.v1'), 0) AS hold_ms,
       count(*) FILTER (type = 'call.held.v1') AS holds,
       count(*) FILTER (type = 'call.transferred.v1') AS transfers,
       count(*) FILTER (type = 'call.alerting.v1') AS alerts,
       count(*) FILTER (type = 'call.rona.v1') AS ronas,
       coalesce(max(wrap_up_ms), 0) AS wrap_up_ms
FROM told GROUP BY subject, stay
"""

ROWS = """
CREATE OR REPLACE TEMP TABLE {name} AS
SELECT tenant, source, {id}, queued_at // {grain} * {grain} AS start,
       count(*) AS offered, count(answered_at) AS answered,
       count(*) FILTER (cause = 'abandoned') AS abandoned, count(*) FILTER (cause = 'short_abandoned') AS short_abandoned,
       count(*) FILTER (cause NOT IN ('answered', 'abandoned', 'short_abandoned')) AS flow_out,
       sum(waited_ms) AS wait_ms, max(waited_ms) AS wait_ms_max,
       count(*) FILTER (answered_at IS NOT NULL AND waited_ms <= 20000) AS in_time,
       quantile_cont(waited_ms, [0.5, 0.9, 0.95, 0.99]) AS wait_quantiles,
       quantile_cont(released_at - answered_at - hold_ms, [0.5, 0.9]) AS talk_quantiles,
       sum(released_at - answered_at - hold_ms) AS talk_ms, sum(hold_ms) AS hold_ms, sum(wrap_up_ms) AS wrap_up_ms,
       sum(holds) AS holds, sum(transfers) AS transfers, sum(alerts) AS alerts, sum(ronas) AS ronas
FROM stays WHERE queued_at IS NOT NULL GROUP BY ALL
"""

STATES = """
CREATE OR REPLACE TEMP TABLE states AS
WITH told AS (
    SELECT tenant, source, subject, state, team, said, lead(said) OVER (PARTITION BY subject ORDER BY said, rowid) AS until
    FROM events WHERE type IN ('agent.state_changed.v1', 'agent.logged_in.v1', 'device.state_changed.v1')
)
SELECT tenant, source, subject, team, state, said // 900000 * 900000 AS start, sum(until - said) AS ms, count(*) AS changes
FROM told GROUP BY ALL
"""

POINTS = """
CREATE OR REPLACE TEMP TABLE points AS
SELECT tenant, source, trunk, node, type, said // 60000 * 60000 AS start, count(*) AS n
FROM events WHERE type IN ('call.offered.v1', 'call.ivr_entered.v1', 'call.ivr_left.v1', 'call.ended.v1') GROUP BY ALL
"""

ANSWER = """
SELECT queue, start // 1800000 * 1800000 AS start, sum(offered)::BIGINT, sum(answered)::BIGINT FROM (
    SELECT queue, queued_at AS start, 1 AS offered, 0 AS answered FROM stays WHERE queued_at IS NOT NULL
    UNION ALL SELECT queue, answered_at, 0, 1 FROM stays WHERE answered_at IS NOT NULL
) GROUP BY ALL
"""


def fold(database, path):
    database.execute(EVENTS, [path])
    database.execute(STAYS)
    for name, grain in (("queue", 60_000), ("agent", 900_000), ("team", 900_000), ("device", 900_000)):
        database.execute(ROWS.format(name="rows_of_" + name, id=name, grain=grain))
    database.execute(ROWS.format(name="rows_of_all", id="NULL AS of_all", grain=60_000))
    database.execute(STATES)
    database.execute(POINTS)
    return database.execute(ANSWER).fetchall()


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    database = duckdb.connect(config={"threads": threads})
    for asked in sys.stdin:
        wall, cpu = time.monotonic(), time.process_time()
        whole = asked.strip() == "fold"
        counts = fold(database, path) if whole else database.execute(COUNT, [path]).fetchall()
        took = {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}
        print(json.dumps({"version": duckdb.__version__, **took, "counts": counts}), flush=True)


main()
