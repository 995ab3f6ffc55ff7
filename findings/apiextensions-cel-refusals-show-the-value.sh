#!/usr/bin/env bash
# k8s.io/apiextensions-apiserver 0.34.4 and 0.35.4: since Kubernetes 1.35 a refusal by a CEL rule shows the value.
#
# Up to 1.34 the API server put the type where other refusals have the value: Invalid value: "string". From 1.35 on it
# is the value itself where the rule stands on a scalar, and nothing at all where it stands on an object. So a rule on
# a field with a password or a card's token writes it to the terminal of whoever applied the object, and to the logs of
# every controller that logs the error; and what matches on 'Invalid value: "object"' matches no more. A rule on the
# object that holds the field shows neither.
#
# Seen:  0.34.4  spec: Invalid value: "object": no   spec.text: Invalid value: "string": no
#        0.35.4  spec: Invalid value: no             spec.text: Invalid value: "hush": no
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > seen.go <<'GO'
package main

import (
	"context"
	"fmt"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apimachinery/pkg/util/validation/field"
	limits "k8s.io/apiserver/pkg/apis/cel"
)

func ruled(kind, rule string) schema.Structural {
	rules := v1.ValidationRules{{Rule: rule, Message: "no"}}
	return schema.Structural{
		Generic:              schema.Generic{Type: kind},
		ValidationExtensions: schema.ValidationExtensions{XValidations: rules},
	}
}

func main() {
	spec := ruled("object", "self.number < 5")
	spec.Properties = map[string]schema.Structural{
		"number": ruled("integer", "self < 5"),
		"text":   ruled("string", "self != 'hush'"),
	}
	object := map[string]interface{}{"number": int64(7), "text": "hush"}
	validator := cel.NewValidator(&spec, true, limits.PerCallLimit)
	refused, _ := validator.Validate(context.Background(), field.NewPath("spec"), &spec, object, nil,
		limits.RuntimeCELCostBudget)
	for _, why := range refused {
		fmt.Println(why)
	}
}
GO
see() {
  rm -f go.mod go.sum
  go mod init seen 2>/dev/null
  go get "k8s.io/apiextensions-apiserver@$1" "k8s.io/apiserver@$1" "k8s.io/apimachinery@$1" 2>/dev/null
  go run seen.go
}
diff <(see v0.34.4) - <<'SEEN'
spec: Invalid value: "object": no
spec.number: Invalid value: "integer": no
spec.text: Invalid value: "string": no
SEEN
diff <(see v0.35.4) - <<'SEEN'
spec: Invalid value: no
spec.number: Invalid value: 7: no
spec.text: Invalid value: "hush": no
SEEN
echo "0.34.4 shows the type of what is refused, 0.35.4 the value of a scalar and nothing of an object"
