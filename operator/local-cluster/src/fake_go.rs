//! A stand-in for Go, for tests: it compiles nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

/// A `go` that "builds" by writing scripts, and notes every call in a file next to itself.
pub(crate) const FAKE_GO: &str = r#"#!/bin/sh
here=$(dirname "$0")
case "$1" in
version) echo "go version go1.26.8 linux/amd64" ;;
env) echo "$here/build-cache"; echo "$here/module-cache" ;;
list) if [ -e "$here/offline" ]; then echo "dial tcp: no such host" >&2; exit 1; fi ;;
install)
  shift
  while case "$1" in -ldflags) shift ;; -*) ;; *) false ;; esac do shift; done
  echo "$* in $(basename "$PWD") with $GOFLAGS $CGO_ENABLED" >> "$here/calls"
  if [ -e "$here/broken" ]; then echo "undefined: x" >&2; exit 1; fi
  sleep 0.05
  for package; do
    name=$(basename "$package"); [ "$name" = v3 ] && name=server
    printf '#!/bin/sh\n' > "$GOBIN/$name"; chmod +x "$GOBIN/$name"
  done ;;
esac
"#;

/// Another process writes the script: if this one did, a child that another test forks in that
/// moment would hold it open for writing, and running it would fail with "text file busy".
pub(crate) fn install_go(dir: &Path, script: &str) {
    fs::write(dir.join("go.sh"), script).unwrap();
    let mut install = Command::new("install");
    install.arg("-m755").arg(dir.join("go.sh")).arg(dir.join("go"));
    assert!(install.status().unwrap().success());
}
