package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Record, Alert, Expr string
			Labels              map[string]string
			Annotations         map[string]string
		}
	}
}

type panel struct {
	ID          int
	Type, Title string
	Description string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ UID string }
	Targets     []struct {
		Expr       string
		RefID      string
		Datasource struct{ UID string }
	}
	Panels []panel
}

type dashboard struct {
	UID, Title, Description string
	SchemaVersion           int
	Templating              struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []panel
}

// metrics holds every query of an operator against the source.
func metrics(repository string) (complaints, string, error) {
	found, err := read(repository)
	if err != nil {
		return nil, "", err
	}
	var wrong complaints
	recorded := map[string]bool{}
	alerts, err := rules(repository, found, recorded, &wrong)
	if err != nil {
		return nil, "", err
	}
	paths, err := filepath.Glob(filepath.Join(repository, "deploy/grafana/dashboards/*.json"))
	if err != nil {
		return nil, "", err
	}
	if len(paths) == 0 {
		wrong.add("there are no dashboards")
	}
	uids, queries := map[string]string{}, 0
	for _, path := range paths {
		n, err := board(path, found, recorded, uids, &wrong)
		if err != nil {
			return nil, "", err
		}
		queries += n
	}
	return wrong, fmt.Sprintf("%d metrics in the source; %d alerts, %d dashboards with %d queries name only those",
		len(found.kinds), alerts, len(paths), queries), nil
}

func rules(repository string, found registered, recorded map[string]bool, wrong *complaints) (int, error) {
	text, err := os.ReadFile(filepath.Join(repository, "deploy/prometheus/rules.yaml"))
	if err != nil {
		return 0, err
	}
	tests, err := os.ReadFile(filepath.Join(repository, "deploy/prometheus/rules_test.yaml"))
	if err != nil {
		return 0, err
	}
	var file ruleFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		return 0, err
	}
	alerts := 0
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Record != "" {
				recorded[rule.Record] = true
			}
		}
	}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			name := rule.Record + rule.Alert
			judge(name, rule.Expr, found, recorded, wrong)
			if rule.Alert == "" {
				continue
			}
			alerts++
			if !strings.Contains(string(tests), `"`+rule.Alert+`"`) {
				wrong.add("%s: rules_test.yaml does not say when it fires", name)
			}
			switch rule.Labels["severity"] {
			case "page", "ticket", "note":
			default:
				wrong.add("%s: its severity is none of page, ticket, note", name)
			}
			for _, needed := range []string{"summary", "description"} {
				if rule.Annotations[needed] == "" {
					wrong.add("%s has no %s", name, needed)
				}
			}
			page(repository, name, rule.Annotations["runbook"], wrong)
		}
	}
	return alerts, nil
}

// page looks whether what to do is written down: `docs/operate/alerts.md#heading`.
func page(repository, alert, runbook string, wrong *complaints) {
	path, heading, _ := strings.Cut(runbook, "#")
	text, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		wrong.add("%s: its page %q is not there", alert, runbook)
		return
	}
	for _, line := range strings.Split(string(text), "\n") {
		title := strings.TrimLeft(line, "#")
		if title != line && strings.ToLower(strings.ReplaceAll(strings.TrimSpace(title), " ", "-")) == heading {
			return
		}
	}
	wrong.add("%s: %s has no heading %q", alert, path, heading)
}

var codes = regexp.MustCompile(`^\$\{?(\w+)\}?$`)

func board(path string, found registered, recorded map[string]bool, uids map[string]string, wrong *complaints) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	name := filepath.Base(path)
	if other, taken := uids[board.UID]; taken || board.UID == "" || len(board.UID) > 40 {
		wrong.add("%s: its uid %q is empty, too long or also that of %s", name, board.UID, other)
	}
	uids[board.UID] = name
	if board.Title == "" || board.Description == "" || board.SchemaVersion == 0 {
		wrong.add("%s has no title, description or schemaVersion", name)
	}
	variables, source := map[string]bool{}, false
	for _, variable := range board.Templating.List {
		variables[variable.Name] = true
		source = source || variable.Type == "datasource" && variable.Query == "prometheus"
		if variable.Type == "query" {
			judge(name+": variable "+variable.Name, asked(variable.Query), found, recorded, wrong)
		}
	}
	if !source {
		wrong.add("%s lets nobody choose its Prometheus: it has no variable of type datasource", name)
	}
	return panels(name, board.Panels, variables, found, recorded, wrong), nil
}

// asked gives the series of `label_values(SERIES, LABEL)`.
func asked(query any) string {
	if object, is := query.(map[string]any); is {
		query = object["query"]
	}
	text, _ := query.(string)
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "label_values("), ")")
	if at := strings.LastIndex(inner, ","); at >= 0 {
		inner = inner[:at]
	}
	return inner
}

func panels(name string, all []panel, variables map[string]bool, found registered, recorded map[string]bool, wrong *complaints) int {
	ids, queries := map[int]bool{}, 0
	for i, panel := range all {
		where := fmt.Sprintf("%s: panel %q", name, panel.Title)
		if ids[panel.ID] || panel.ID == 0 {
			wrong.add("%s: id %d is taken or 0", where, panel.ID)
		}
		ids[panel.ID] = true
		for _, other := range all[:i] {
			a, b := panel.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				wrong.add("%s lies over %q", where, other.Title)
			}
		}
		if panel.GridPos.W == 0 || panel.GridPos.X+panel.GridPos.W > 24 {
			wrong.add("%s does not fit into the 24 columns", where)
		}
		if panel.Type == "row" || panel.Type == "text" {
			queries += panels(name, panel.Panels, variables, found, recorded, wrong)
			continue
		}
		if panel.Description == "" {
			wrong.add("%s does not say what it means", where)
		}
		if len(panel.Targets) == 0 && panel.Type != "alertlist" {
			wrong.add("%s asks nothing", where)
		}
		for _, target := range panel.Targets {
			queries++
			match := codes.FindStringSubmatch(target.Datasource.UID)
			if match == nil || !variables[match[1]] {
				wrong.add("%s: %s asks a datasource %q that is no variable of the dashboard", where, target.RefID, target.Datasource.UID)
			}
			for _, used := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if !variables[used[1]] && !strings.HasPrefix(used[1], "__") {
					wrong.add("%s: %s uses a variable %q that is not there", where, target.RefID, used[1])
				}
			}
			judge(where, target.Expr, found, recorded, wrong)
		}
	}
	return queries
}

// judge parses a query as Prometheus does and looks at every name in it.
func judge(where, query string, found registered, recorded map[string]bool, wrong *complaints) {
	// what Grafana puts in: times of an interval, and values of variables
	query = regexp.MustCompile(`\$\{?__(rate_interval|interval|range)\}?`).ReplaceAllString(query, "1m")
	query = regexp.MustCompile(`\$\{?\w+\}?`).ReplaceAllString(query, ".*")
	parsed, err := parser.ParseExpr(query)
	if err != nil {
		wrong.add("%s: %v in %s", where, err, query)
		return
	}
	known := map[string]bool{}
	for _, label := range labelsOfPrometheus {
		known[label] = true
	}
	label := func(name string) {
		if !known[name] && !found.labels[name] {
			wrong.add("%s: no metric has a label %s", where, name)
		}
	}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch it := node.(type) {
		case *parser.VectorSelector:
			selected(where, it, found, recorded, label, wrong)
		case *parser.AggregateExpr:
			for _, name := range it.Grouping {
				label(name)
			}
		case *parser.BinaryExpr:
			if it.VectorMatching != nil {
				for _, name := range it.VectorMatching.MatchingLabels {
					label(name)
				}
			}
		}
		return nil
	})
}

func selected(where string, it *parser.VectorSelector, found registered, recorded map[string]bool, label func(string), wrong *complaints) {
	if strings.Contains(it.Name, ":") && !recorded[it.Name] {
		wrong.add("%s: no rule records %s", where, it.Name)
	}
	if it.Name != "" {
		if fault := found.knows(it.Name); fault != "" {
			wrong.add("%s: %s", where, fault)
		}
	}
	for _, matcher := range it.LabelMatchers {
		if matcher.Name != labels.MetricName {
			label(matcher.Name)
		}
	}
}
