// The program that holds the namespaces of a pod: see operator/local-cluster/src/part.rs.
module fooddelivery.dev/local-cluster/pause

go 1.26.0
