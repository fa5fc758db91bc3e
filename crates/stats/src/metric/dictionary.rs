//! Every metric with its definition, formula, unit, closest vendor term and both names.

use super::Metric;

macro_rules! dictionary {
    ($($id:literal | $en:literal | $zh:literal | $unit:literal | $definition:literal | $formula:literal | $closest:literal;)*) => {
        /// The dictionary, in the order of reports.
        pub const DICTIONARY: &[Metric] = &[$(Metric {
            id: $id, label_en: $en, label_zh: $zh, unit: $unit, definition: $definition, formula: $formula, closest: $closest,
        },)*];
    };
}

dictionary! {
    "offered" | "Offered" | "进队量" | "count" | "segments that entered the queue" | "" | "CALLSOFFERED, CONTACTS_QUEUED";
    "answered" | "Answered" | "接通量" | "count" | "segments answered by an agent" | "" | "ACDCALLS, CONTACTS_HANDLED";
    "answered_in_t" | "Answered within T" | "T 内接通量" | "count" | "answered with wait ≤ T" | "" | "ACCEPTABLE";
    "answered_without_wait" | "Answered without wait" | "无等待接通量" | "count" | "answered with wait = 0" | "" | "";
    "abandoned" | "Abandoned" | "放弃量" | "count" | "caller left the queue unanswered, wait > the short limit" | "" | "ABNCALLS";
    "abandoned_in_t" | "Abandoned within T" | "T 内放弃量" | "count" | "abandoned, short ones included, with wait ≤ T" | "" | "SLVLABNS";
    "short_abandoned" | "Short abandoned" | "短时放弃量" | "count" | "caller left with wait ≤ the short limit (default 5 s, per queue)" | "" | "ShortCalls, PHANTOMABNS";
    "short_answered" | "Short answered" | "短通话量" | "count" | "answered, talk ≤ the short talk limit (default 10 s)" | "" | "";
    "flow_out" | "Flowed out" | "流出量" | "count" | "left the queue for another reason; by cause in flow_out_by" | "" | "OUTFLOWCALLS, divert_*";
    "diverted" | "Diverted" | "分流量" | "count" | "led elsewhere by the flood controller; by target, rule and level in diverted_by" | "" | "";
    "diverted_at_gate" | "Diverted at the gate" | "入口分流量" | "count" | "diverted before entering a queue: demand that offered does not hold" | "" | "";
    "rona" | "Ring no answer" | "振铃未接" | "count" | "alerted an agent who did not answer while the caller still waited" | "" | "NOANSREDIR, RONA";
    "abandon_ringing" | "Abandoned while ringing" | "振铃放弃" | "count" | "caller left while an agent was alerting" | "" | "ABNRINGCALLS";
    "alerted" | "Alerted" | "振铃次数" | "count" | "alerts of agents" | "" | "";
    "completed" | "Completed" | "通话完成量" | "count" | "segments whose talk ended" | "" | "";
    "repeat_attempts" | "Repeat attempts" | "重复呼入量" | "count" | "offered whose caller was seen within W (default 10 min); from call records" | "" | "";
    "transfers_in" | "Transfers in" | "转入量" | "count" | "segments that a transfer led to" | "" | "TRANSFERRED";
    "transfers_out" | "Transfers out" | "转出量" | "count" | "segments handed on" | "" | "TRANSFERRED";
    "transfers_blind" | "Blind transfers" | "盲转量" | "count" | "handed on without consultation" | "" | "";
    "transfers_attended" | "Attended transfers" | "咨询转接量" | "count" | "handed on after consultation" | "" | "";
    "conferences" | "Conferences" | "会议量" | "count" | "conferences begun" | "" | "CONFERENCE";
    "consultations" | "Consultations" | "咨询量" | "count" | "third parties consulted" | "" | "CONSULTTIME";
    "holds" | "Holds" | "保持次数" | "count" | "times a caller was put on hold" | "" | "HOLDCALLS";
    "hold_abandons" | "Ended on hold" | "保持中挂断" | "count" | "calls that ended on hold; by party in hold_abandons_by" | "" | "HOLDABNCALLS";
    "calls" | "Calls" | "呼叫量" | "count" | "calls that began" | "" | "";
    "phantom" | "Phantom" | "幻影呼叫" | "count" | "entries that the vendor calls phantoms; counted nowhere else" | "" | "";
    "direct_offered" | "Direct calls" | "直呼量" | "count" | "calls of agents that no queue brought" | "" | "";
    "direct_answered" | "Direct answered" | "直呼接通量" | "count" | "direct calls that were answered" | "" | "";
    "outbound" | "Outbound" | "呼出量" | "count" | "outbound calls; never in a service level" | "" | "ACWOUTCALLS, AUXOUTCALLS";
    "outbound_answered" | "Outbound answered" | "呼出接通量" | "count" | "outbound calls that were answered" | "" | "";
    "ivr_entered" | "IVR entered" | "IVR 进入量" | "count" | "visits of IVR nodes" | "" | "";
    "ivr_abandoned" | "IVR abandoned" | "IVR 放弃量" | "count" | "callers who hung up in the IVR" | "" | "";
    "ivr_contained" | "IVR contained" | "IVR 自助完成量" | "count" | "calls that the IVR ended" | "" | "";
    "asa_ms" | "Average speed of answer" | "平均应答速度" | "ms" | "a call answered without waiting counts, with 0" | "Σ wait of answered / answered" | "ASA";
    "avg_abandon_time_ms" | "Average time to abandon" | "平均放弃等待" | "ms" | "short abandons included" | "Σ wait of abandoned / abandoned" | "AVGABANTIME";
    "max_wait_ms" | "Longest wait" | "最长等待" | "ms" | "longest wait, all exits" | "" | "MAXOCWTIME";
    "p50_wait_ms" | "Median wait" | "等待中位数" | "ms" | "nearest rank, all exits" | "" | "";
    "p90_wait_ms" | "90 % wait" | "等待 90 分位" | "ms" | "nearest rank, all exits" | "" | "";
    "p95_wait_ms" | "95 % wait" | "等待 95 分位" | "ms" | "nearest rank, all exits" | "" | "";
    "p99_wait_ms" | "99 % wait" | "等待 99 分位" | "ms" | "nearest rank, all exits" | "" | "";
    "longest_wait_since" | "Longest waiting since" | "最早等待时刻" | "epoch" | "when the caller began to wait who waits longest now: screens tick by themselves" | "" | "OLDESTCALL";
    "aht_ms" | "Average handle time" | "平均处理时长" | "ms" | "talk, hold and wrap-up per answered" | "(talk + hold + wrap-up) / answered" | "AHT";
    "att_ms" | "Average talk time" | "平均通话时长" | "ms" | "hold not included" | "talk / answered" | "ACDTIME";
    "avg_hold_ms" | "Average hold" | "平均保持时长" | "ms" | "" | "hold / answered" | "HOLDTIME";
    "avg_acw_ms" | "Average wrap-up" | "平均话后时长" | "ms" | "" | "wrap-up / answered" | "ACWTIME";
    "abandonment_rate" | "Abandonment rate" | "放弃率" | "share" | "short abandons are in neither side" | "abandoned / (offered − short_abandoned)" | "";
    "answer_rate" | "Answer rate" | "接通率" | "share" | "diverted calls stay in the denominator" | "answered / offered" | "";
    "service_level" | "Service level" | "服务水平" | "share" | "by the named policy and threshold" | "see policies" | "SERVICELEVEL";
    "occupancy" | "Occupancy" | "占用率" | "share" | "of agents, wall clock" | "(talk + hold + wrap-up + ringing) / (the same + ready)" | "OCCUPANCY";
    "occupancy_slots" | "Occupancy (slots)" | "并发占用率" | "share" | "concurrent work counts as often as it happens; may exceed 1" | "Σ (talk + hold + wrap-up + ringing) of calls / (staffed − not ready − unknown)" | "";
    "utilisation" | "Utilisation" | "工时利用率" | "share" | "" | "(talk + hold + wrap-up + ringing) / logged-in time" | "";
    "staffed_ms" | "Staffed" | "登录时长" | "ms" | "logged in, clipped to the interval" | "" | "STAFFTIME";
    "ready_ms" | "Ready" | "空闲时长" | "ms" | "ready, clipped to the interval" | "" | "AVAILTIME";
    "not_ready_ms" | "Not ready" | "示忙时长" | "ms" | "not ready, clipped; by reason in not_ready_by" | "" | "AUXTIME";
    "reserved_ms" | "Ringing" | "振铃时长" | "ms" | "being rung, clipped to the interval" | "" | "RINGTIME";
    "talking_ms" | "Talking" | "通话时长" | "ms" | "in conversation, hold included, clipped to the interval" | "" | "I_ACDTIME";
    "wrap_up_state_ms" | "Wrap-up" | "话后时长" | "ms" | "after-call work, clipped to the interval" | "" | "I_ACWTIME";
    "unknown_ms" | "Unknown" | "未知时长" | "ms" | "not heard of for two heartbeats; never ready" | "" | "";
    "agents_logged_in" | "Agents logged in" | "登录坐席" | "agents" | "now" | "" | "STAFFED";
    "agents_ready" | "Agents ready" | "空闲坐席" | "agents" | "now" | "" | "AVAILABLE";
    "agents_ringing" | "Agents ringing" | "振铃坐席" | "agents" | "reserved, now" | "" | "RINGING";
    "agents_talking" | "Agents talking" | "通话坐席" | "agents" | "now" | "" | "ONACD";
    "agents_hold" | "Agents holding" | "保持坐席" | "agents" | "now; from their calls" | "" | "";
    "agents_acw" | "Agents in wrap-up" | "话后坐席" | "agents" | "now" | "" | "INACW";
    "agents_not_ready" | "Agents not ready" | "示忙坐席" | "agents" | "now, by reason" | "" | "INAUX";
    "agents_unknown" | "Agents unknown" | "未知坐席" | "agents" | "now; never counted as ready" | "" | "";
    "in_queue" | "In queue" | "排队量" | "count" | "waiting now, by priority" | "" | "INQUEUE";
    "ewt_ms" | "Expected wait" | "预计等待" | "ms" | "of the next caller; agents on break and unknown ones left out" | "Σ_{i=0..k} 1/(nμ + iθ)" | "EWT";
    "offered_load" | "Offered load" | "话务负荷" | "agents" | "now" | "λ · AHT" | "";
    "rho_eff" | "Effective load" | "有效负荷" | "share" | "now" | "λ / (N_eff · μ)" | "";
    "fcr" | "First call resolution" | "首次解决率" | "share" | "answered callers not seen again within W (default 24 h); from call records" | "not seen again / answered callers" | "";
    "csat" | "Satisfaction" | "满意度" | "score" | "mean survey score, 0 to 1 of the best, with its count" | "Σ score / count" | "";
    "asr" | "Answer-seizure ratio" | "接通比 ASR" | "share" | "trunk, call service" | "answered / attempts" | "ASR";
    "ner" | "Network effectiveness ratio" | "网络有效率 NER" | "share" | "trunk, call service" | "(answered + busy + no answer) / attempts" | "NER";
    "acd_ms" | "Average call duration" | "平均通话长 ACD" | "ms" | "trunk, call service" | "conversation / answered" | "ACD";
    "max_waiting" | "Peak waiting" | "最大排队" | "count" | "most who waited at once, at whole seconds" | "" | "";
    "max_in_service" | "Peak in service" | "最大在服务" | "count" | "most who were served at once, at whole seconds" | "" | "";
    "talk_overlap_ms" | "Talk in interval" | "区间内通话" | "ms" | "talk, clipped to the interval" | "" | "I_ACDTIME";
    "wait_overlap_ms" | "Wait in interval" | "区间内等待" | "ms" | "wait, clipped to the interval" | "" | "";
    "late" | "Late events" | "迟到事件" | "count" | "events that came late and restated the row" | "" | "";
    "inferred" | "Inferred events" | "推断事件" | "count" | "events concluded, not seen" | "" | "";
    "revision" | "Revision" | "修订次数" | "count" | "late and inferred events that restated the row" | "late + inferred" | "";
    "gap_ms" | "Blind time" | "数据缺口" | "ms" | "the source was not seen, clipped to the interval" | "" | "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_both_names_and_one_entry() {
        for (i, m) in DICTIONARY.iter().enumerate() {
            assert!(!m.label_en.is_empty() && !m.label_zh.is_empty(), "{}", m.id);
            assert!(!DICTIONARY[..i].iter().any(|o| o.id == m.id), "{} twice", m.id);
        }
    }

    #[test]
    fn every_published_figure_is_in_the_dictionary() {
        let figures = super::super::evaluate(&crate::Tally::new(), &super::super::Context::default());
        let json = serde_json::to_value(&figures).unwrap();
        let known = |id: &str| DICTIONARY.iter().any(|m| m.id == id);
        for id in ["asa_ms", "abandonment_rate", "service_level", "occupancy", "aht_ms", "csat", "asr", "revision"] {
            assert!(json.get(id).is_some() && known(id), "{id}");
        }
    }
}
