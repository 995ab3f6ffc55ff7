#!/usr/bin/env bash
# PyYAML 6.0.4 and goccy/go-yaml 1.19.2 beside sigs.k8s.io/yaml 1.6.0 (kubectl): some of Seoul's postal codes get lost.
#
# All postal codes of Seoul begin with a zero. PyYAML and goccy/go-yaml quote such a string only where YAML 1.1 has an
# octal number: '04524' is quoted, 04789 has a digit that is not octal and is written bare; both read it back as the
# string that it was. For YAML 1.2 it is a number, and for kubectl and whatever else uses sigs.k8s.io/yaml it is 4789:
# a field of type string is refused, and where the schema leaves the type open (preserved unknown fields, the values of
# a chart) the zero is gone. An id such as 12e5 becomes 1200000 in the same way. A test with the city hall's 04524
# passes. js-yaml 5.5.0, yaml 2.9.1 (npm) and ruamel.yaml 0.19.1 quote all three.
#
# Seen:  PyYAML, goccy: '04524' -> string 04524   04789 -> number 4789   12e5 -> number 1200000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile --disable-pip-version-check PyYAML==6.0.4 ruamel.yaml==0.19.1
npm init -y >/dev/null
npm install --silent --no-audit --no-fund js-yaml@5.5.0 yaml@2.9.1
cat > written.py <<'PY'
import io, yaml
from ruamel.yaml import YAML

codes = ["04524", "04789", "12e5"]
with open("PyYAML", "w") as out:
    yaml.safe_dump(codes, out)
with open("PyYAML") as written:
    assert yaml.safe_load(written) == codes
with open("ruamel", "w") as out:
    YAML(typ="safe", pure=True).dump(codes, out)
PY
venv/bin/python written.py
cat > written.mjs <<'JS'
import { writeFileSync } from "fs";
import * as jsyaml from "js-yaml";
import { stringify } from "yaml";

const codes = ["04524", "04789", "12e5"];
writeFileSync("js-yaml", jsyaml.dump(codes));
writeFileSync("yaml", stringify(codes));
JS
node written.mjs
cat > read.go <<'GO'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	kubectl "sigs.k8s.io/yaml"
)

func main() {
	codes := []string{"04524", "04789", "12e5"}
	written, _ := yaml.Marshal(codes)
	os.WriteFile("goccy", written, 0o600)
	var own []any
	if err := yaml.Unmarshal(written, &own); err != nil || fmt.Sprintf("%T %T %T", own...) != "string string string" {
		fmt.Println("goccy reads its own", own, err)
	}
	for _, writer := range []string{"PyYAML", "goccy", "ruamel", "js-yaml", "yaml"} {
		text, _ := os.ReadFile(writer)
		var read []any
		if err := kubectl.Unmarshal(text, &read); err != nil {
			fmt.Println(writer, err)
		}
		fmt.Printf("%s:", writer)
		// Some write [a, b], some a line for each.
		for at, item := range strings.Fields(strings.NewReplacer("[", "", "]", "", ",", "", "- ", "").Replace(string(text))) {
			fmt.Printf(" %s=%T", item, read[at])
		}
		fmt.Println()
	}
}
GO
go mod init read 2>/dev/null
go get github.com/goccy/go-yaml@v1.19.2 sigs.k8s.io/yaml@v1.6.0 2>/dev/null
go run read.go > seen.txt
cat seen.txt
diff seen.txt - <<'SEEN'
PyYAML: '04524'=string 04789=float64 12e5=float64
goccy: "04524"=string 04789=float64 12e5=float64
ruamel: '04524'=string '04789'=string '12e5'=string
js-yaml: '04524'=string '04789'=string '12e5'=string
yaml: "04524"=string "04789"=string "12e5"=string
SEEN
