// Checks the files of ../ with the types of those who read them: the dashboard with Grafana's own schema, the rules and
// the ServiceMonitor with the Prometheus operator's. Writes two files of rules for promtool into the folder that its
// argument names: rules.txt, what the PrometheusRule says, and panels.txt, every query of the dashboard as a rule.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: checks FOLDER")
	}
	var rules monitoring.PrometheusRule
	strictly("rules.yaml", &rules)
	strictly("servicemonitor.yaml", &monitoring.ServiceMonitor{})
	write("rules.txt", rules.Spec)
	write("panels.txt", asRules(queries("dashboard.json")))
}

func strictly(name string, into any) {
	text, err := os.ReadFile(name)
	check(name, err)
	check(name, yaml.UnmarshalStrict(text, into))
}

// The queries of a dashboard that is what Grafana's schema says, by the title of their panel.
func queries(name string) map[string][]string {
	text, err := os.ReadFile(name)
	check(name, err)
	plugins.RegisterDefaultPlugins()
	// Twice: to be strict leaves panels out, and an empty list of errors is an error to Go, and none to the SDK.
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		check(name, err)
	}
	var board dashboard.Dashboard
	check(name, json.Unmarshal(text, &board))
	check(name, board.Validate())
	found, ids := map[string][]string{}, map[uint32]bool{}
	for _, one := range board.Panels {
		panel := one.Panel
		if panel == nil || panel.Title == nil || panel.Description == nil || panel.Id == nil {
			log.Fatalf("%s: a panel without title, description or id", name)
		}
		if title := *panel.Title; found[title] != nil || ids[*panel.Id] {
			log.Fatalf("%s: %s: its title or id is another's", name, title)
		}
		ids[*panel.Id] = true
		for _, target := range panel.Targets {
			query, ok := target.(*prometheus.Dataquery)
			if !ok || query.Expr == "" {
				log.Fatalf("%s: %s: a target that is no query of Prometheus (%T)", name, *panel.Title, target)
			}
			found[*panel.Title] = append(found[*panel.Title], query.Expr)
		}
		if found[*panel.Title] == nil {
			log.Fatalf("%s: %s asks nothing", name, *panel.Title)
		}
	}
	return found
}

func asRules(queries map[string][]string) any {
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, all := range queries {
		for _, expr := range all {
			expr = strings.ReplaceAll(expr, "$__rate_interval", "5m")
			rules = append(rules, rule{fmt.Sprintf("dashboard:query_%d", len(rules)), expr})
		}
	}
	return map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}
}

func write(name string, content any) {
	text, err := yaml.Marshal(content)
	check(name, err)
	check(name, os.WriteFile(filepath.Join(os.Args[1], name), text, 0o644))
}

func check(name string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}
