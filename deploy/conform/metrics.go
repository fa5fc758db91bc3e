package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// What the source registers: names with their kind, and every label name that is used with any of them.
type registered struct {
	kinds  map[string]string
	labels map[string]bool
}

// What Prometheus itself adds or keeps.
var ofPrometheus = map[string]bool{"up": true, "ALERTS": true}
var labelsOfPrometheus = []string{"instance", "job", "le", "quantile", "alertname", "alertstate", "severity", "exported_instance"}

var (
	registers = regexp.MustCompile(`metrics?::(counter|gauge|histogram)!?\(\s*"([a-z0-9_]+)"`)
	pairs     = regexp.MustCompile(`\(\s*"([a-z_]+)",|"([a-z_]+)"\s*=>`)
	madeOf    = regexp.MustCompile(`let labels? = \[([^;]*)\];`)
	series    = regexp.MustCompile(`Key::from_parts\("([a-z0-9_]+)", vec!\[Label::new\("([a-z_]+)"`)
)

// read goes through the product's Rust source. Tests, examples and the simulator's own figures are not for operators.
func read(repository string) (registered, error) {
	found := registered{kinds: map[string]string{}, labels: map[string]bool{}}
	skip := map[string]bool{"target": true, "tests": true, "bench": true, "fuzz": true, "examples": true, "node_modules": true, ".git": true}
	err := filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if path != repository && skip[entry.Name()] {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".rs" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			found.take(string(text))
		}
		return err
	})
	if err == nil && len(found.kinds) < 20 {
		err = fmt.Errorf("only %d metrics were found in the source: does this check still read it rightly?", len(found.kinds))
	}
	return found, err
}

func (found *registered) take(source string) {
	if at := strings.Index(source, "#[cfg(test)]"); at >= 0 {
		source = source[:at]
	}
	called := registers.FindAllStringSubmatchIndex(source, -1)
	for _, at := range called {
		found.kinds[source[at[4]:at[5]]] = source[at[2]:at[3]]
		// its labels stand within the same statement
		statement, _, _ := strings.Cut(source[at[5]:], ";")
		found.label(statement)
	}
	for _, match := range series.FindAllStringSubmatch(source, -1) {
		found.kinds[match[1]], found.labels[match[2]] = "counter", true
	}
	if len(called) > 0 {
		for _, match := range madeOf.FindAllStringSubmatch(source, -1) {
			found.label(match[1])
		}
	}
}

func (found *registered) label(text string) {
	for _, match := range pairs.FindAllStringSubmatch(text, -1) {
		found.labels[match[1]+match[2]] = true
	}
}

// knows tells what is wrong with a name in a query; "" when nothing is.
func (found *registered) knows(name string) string {
	if ofPrometheus[name] || strings.Contains(name, ":") {
		return ""
	}
	if kind, known := found.kinds[name]; known {
		if kind == "histogram" {
			return fmt.Sprintf("%s is a histogram: it has only %[1]s_bucket, _sum and _count", name)
		}
		return ""
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base := strings.TrimSuffix(name, suffix)
		if base != name && found.kinds[base] == "histogram" {
			bucketed := strings.HasSuffix(base, "_seconds") || strings.HasSuffix(base, "_bytes") || strings.HasSuffix(base, "_records")
			if suffix == "_bucket" && !bucketed {
				return fmt.Sprintf("%s has no buckets (service::telemetry gives them by the end of the name)", base)
			}
			return ""
		}
	}
	return name + " is registered nowhere in the source"
}
