package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The checks must be able to fail: each test gives them something that is wrong, and wants to hear of just that.

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func said(t *testing.T, wrong complaints, words string) {
	t.Helper()
	for _, complaint := range wrong {
		if strings.Contains(complaint, words) {
			return
		}
	}
	t.Errorf("nobody said %q, only %q", words, wrong)
}

func source() registered {
	found := registered{kinds: map[string]string{}, labels: map[string]bool{}}
	found.take(`
		let label = [("source", name)];
		facts: metric::counter("collector_facts_total", &label),
		metric::gauge("x_open", &[("queue", q)]);
		metrics::histogram!("x_commit_seconds", "synced" => synced).record(1.0);
		metric::histogram("x_batch_calls", &[]);
		metric::describe_counter("x_described_only_total", "words");
		#[cfg(test)] mod tests { metric::counter("test_only_total", &[]); }`)
	return found
}

func TestNamesOfTheSourceAreFoundAndOthersAreNot(t *testing.T) {
	found := source()
	for _, good := range []string{"collector_facts_total", "x_open", "x_commit_seconds_bucket", "x_batch_calls_sum", "up", "a:recorded:one"} {
		if fault := found.knows(good); fault != "" {
			t.Error(fault)
		}
	}
	for _, bad := range []string{"collector_fact_total", "x_described_only_total", "test_only_total", "x_commit_seconds", "x_batch_calls_bucket", "x_open_sum"} {
		if found.knows(bad) == "" {
			t.Errorf("%s is taken for a metric", bad)
		}
	}
}

func TestAQueryWithAWrongLabelNameOrSyntaxIsTold(t *testing.T) {
	for query, words := range map[string]string{
		`sum by (sorce) (rate(collector_facts_total[1m]))`: "label sorce",
		`x_open{que="a"}`: "label que",
		`rate(collector_facts_total[$__rate_interval)`:           "parse error",
		`sum(rate(nothing_total{source=~"$source"}[1m]))`:        "nothing_total is registered nowhere",
		`x_open and on (instence) x_open`:                        "label instence",
		`tidegate:never_recorded`:                                "no rule records",
		`sum by (queue) (x_open{source="a"}) / vector(0) > bool`: "parse error",
	} {
		var wrong complaints
		judge("here", query, source(), map[string]bool{}, &wrong)
		said(t, wrong, words)
	}
	var wrong complaints
	judge("here", `sum by (source) (rate(collector_facts_total{source=~"$source"}[$__rate_interval]))`, source(), nil, &wrong)
	if len(wrong) > 0 {
		t.Error(wrong)
	}
}

const rulesOf = `groups:
  - name: g
    rules:
      - {alert: Known, expr: x_open > 0, labels: {severity: page}, annotations: {summary: s, description: d, runbook: "page.md#known"}}
      - {alert: Lost, expr: x_gone > 0, labels: {severity: loud}, annotations: {runbook: "page.md#elsewhere"}}
`

func TestAnAlertWithoutMetricTestPageOrWordsIsTold(t *testing.T) {
	at := t.TempDir()
	write(t, filepath.Join(at, "deploy/prometheus/rules.yaml"), rulesOf)
	write(t, filepath.Join(at, "deploy/prometheus/rules_test.yaml"), `labels: '{alertname="Known"}'`)
	write(t, filepath.Join(at, "page.md"), "## Known\n")
	var wrong complaints
	if n, err := rules(at, source(), map[string]bool{}, &wrong); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	for _, words := range []string{"x_gone", "severity", "no summary", "when it fires", "no heading"} {
		said(t, wrong, words)
	}
	for _, complaint := range wrong {
		if strings.HasPrefix(complaint, "Known") {
			t.Error(complaint)
		}
	}
}

const boardOf = `{"uid":"one","title":"T","description":"D","schemaVersion":39,
 "templating":{"list":[{"name":"datasource","type":"datasource","query":"loki"}]},
 "panels":[
  {"id":1,"type":"timeseries","title":"A","gridPos":{"x":0,"y":0,"w":12,"h":8},"targets":[{"refId":"A","expr":"x_open{queue=\"$queue\"}","datasource":{"uid":"mine"}}]},
  {"id":1,"type":"timeseries","title":"B","description":"d","gridPos":{"x":6,"y":4,"w":20,"h":8},"targets":[]}]}`

func TestADashboardThatWouldNotLoadOrShowIsTold(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "a.json"), boardOf)
	var wrong complaints
	if _, err := board(path, source(), nil, map[string]string{"one": "b.json"}, &wrong); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"uid", "choose its Prometheus", "is taken", "lies over", "24 columns", "what it means", "asks nothing", `variable "queue"`, `datasource "mine"`} {
		said(t, wrong, words)
	}
}

const composeOf = `services:
  one:
    image: thing
    ports: ["80:80"]
    volumes: ["./not-here:/x"]
    environment: {DB_PASSWORD: secret}
secrets:
  s: {environment: S}
`

func TestAComposeFileThatWouldDisappointIsTold(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "compose.yaml"), composeOf)
	write(t, filepath.Join(filepath.Dir(path), ".env.example"), "")
	wrong, _, err := compose(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"health check", "limit of memory", "started again", "newest", "every network", "not there", "password", "is not a file"} {
		said(t, wrong, words)
	}
	write(t, path, "services:\n  one: {image: thing, heathcheck: {}}\n")
	if _, _, err := compose(path); err == nil {
		t.Error("an unknown key is taken")
	}
	write(t, path, "services:\n  one: {image: thing, depends_on: [two]}\n")
	if _, _, err := compose(path); err == nil {
		t.Error("a service that is not there is waited for")
	}
}

const manifestsOf = `
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {app: nobody}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]
      volumes: [{name: w, configMap: {name: gone}}, {name: one, secret: {secretName: made, items: [{key: b, path: b}]}}, {name: two, secret: {secretName: made}}]
---
apiVersion: v1
kind: Secret
metadata: {name: made}
stringData: {a: "1"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: misspelt}
spec: {replica: 2}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: p}
spec: {selector: {matchLabels: {app: nobody}}}
---
# nothing but a remark
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: m}
`

func TestManifestsThatAClusterWouldRefuseOrThatLeadNowhereAreTold(t *testing.T) {
	wrong, seen, err := manifests(write(t, filepath.Join(t.TempDir(), "m.yaml"), manifestsOf))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"no pod opens port", "its own pods", "the volume v", "ConfigMap gone", "no such key", "every key", "as root", "what it needs", "write to its image", "/livez", "/readyz", `unknown field "spec.replica"`, "for no pod"} {
		said(t, wrong, words)
	}
	if !strings.Contains(seen, "1 of monitoring.coreos.com only read") {
		t.Error(seen)
	}
}
