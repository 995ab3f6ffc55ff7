//! Makes a container image of one program, without a container engine: a docker archive with one
//! layer, which `docker load`, `podman load` and `ctr images import` take.
//!
//! The layer has the program, the shared libraries that it needs (as `ldd` finds them), if wanted
//! the certificates of authorities, and nothing else: no shell, no package manager. The same input
//! gives the same bytes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::command::run_command;
use crate::go::goarch;

/// The user that programs run as, by number, so that a kubelet can see that it is not root.
const USER: u32 = 65532;
/// Where the program is in the image.
const PROGRAM_DIR: &str = "usr/local/bin";
/// Where programs look for authorities, whatever this machine's distribution does.
const CA_IN_IMAGE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where distributions have them.
const CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Images are of no time, or the same program would give another image every day.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A library that the program needs is not on this machine.
    #[error("{} needs the library {library}, which is not on this machine", program.display())]
    Library {
        /// The program.
        program: PathBuf,
        /// The library.
        library: String,
    },
    /// The program is for certificates of authorities, and this machine has none.
    #[error("there are no certificates of authorities on this machine (Debian package ca-certificates)")]
    NoAuthorities,
}

/// An image to be made. It runs its program as user 65532, without a shell around it.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    program: PathBuf,
    labels: Vec<(String, String)>,
    authorities: bool,
}

impl Image {
    /// `name` with its tag, for example `shop/operator:1.0`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), program: program.into(), labels: Vec::new(), authorities: false }
    }

    /// Adds a label, for example `org.opencontainers.image.version`.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// Adds this machine's certificates of authorities, for a program that calls others by HTTPS.
    #[must_use]
    pub fn authorities(mut self) -> Self {
        self.authorities = true;
        self
    }

    /// Writes the archive; a file that is there is replaced.
    ///
    /// # Errors
    /// When the program, a library or the certificates are missing, or the file cannot be written.
    pub fn write(&self, archive: &Path) -> Result<(), ImageError> {
        let layer = self.layer()?;
        let config = self.config(&layer);
        let config_name = format!("{}.json", hex_digest(&config));
        let manifest = json!([{"Config": config_name, "RepoTags": [self.name], "Layers": ["layer.tar"]}]);
        let mut tar = Archive::new();
        let write = |tar: &mut Archive| {
            tar.file(&config_name, 0o644, &config)?;
            tar.file("layer.tar", 0o644, &layer)?;
            tar.file("manifest.json", 0o644, manifest.to_string().as_bytes())
        };
        let bytes = write(&mut tar).and_then(|()| tar.finish()).map_err(io_error(archive))?;
        fs::write(archive, bytes).map_err(io_error(archive))
    }

    fn file_name(&self) -> String {
        self.program.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn layer(&self) -> Result<Vec<u8>, ImageError> {
        let program = fs::read(&self.program).map_err(io_error(&self.program))?;
        let mut files = vec![(format!("{PROGRAM_DIR}/{}", self.file_name()), 0o755, program)];
        for library in libraries(&self.program)? {
            let content = fs::read(&library).map_err(io_error(&library))?;
            let path = library.to_string_lossy().trim_start_matches('/').to_owned();
            files.push((path, 0o755, content));
        }
        if self.authorities {
            let file = CA_FILES.iter().map(Path::new).find(|it| it.is_file());
            let file = file.ok_or(ImageError::NoAuthorities)?;
            files.push((CA_IN_IMAGE.to_owned(), 0o644, fs::read(file).map_err(io_error(file))?));
        }
        files.push(("etc/passwd".into(), 0o644, format!("nonroot:x:{USER}:{USER}::/:\n").into_bytes()));
        files.push(("etc/group".into(), 0o644, format!("nonroot:x:{USER}:\n").into_bytes()));
        files.sort();
        let mut tar = Archive::new();
        let write = |tar: &mut Archive| -> io::Result<()> {
            for dir in parents(files.iter().map(|(path, ..)| path.as_str())) {
                tar.dir(&dir)?;
            }
            files.iter().try_for_each(|(path, mode, content)| tar.file(path, *mode, content))
        };
        write(&mut tar).and_then(|()| tar.finish()).map_err(io_error(&self.program))
    }

    fn config(&self, layer: &[u8]) -> Vec<u8> {
        let labels: serde_json::Map<_, _> =
            self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        let program = format!("/{PROGRAM_DIR}/{}", self.file_name());
        let config = json!({
            "created": CREATED,
            "architecture": goarch(),
            "os": "linux",
            "config": {
                "User": format!("{USER}:{USER}"),
                "Entrypoint": [program],
                "WorkingDir": "/",
                "Env": if self.authorities { vec![format!("SSL_CERT_FILE=/{CA_IN_IMAGE}")] } else { Vec::new() },
                "Labels": labels,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex_digest(layer))]},
            "history": [{"created": CREATED, "created_by": "local-cluster image"}],
        });
        config.to_string().into_bytes()
    }
}

/// The shared libraries that a program needs, and what loads them; none for a static one.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mut ldd = Command::new("ldd");
    ldd.arg(program);
    match run_command(ldd) {
        Ok(listed) => parse_libraries(program, &listed),
        Err(error) if error.said.contains("not a dynamic executable") => Ok(Vec::new()),
        Err(error) => Err(io_error(program)(io::Error::other(error.said))),
    }
}

/// From lines such as `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` and
/// `/lib64/ld-linux-x86-64.so.2 (0x…)`; the kernel's own `linux-vdso.so.1 (0x…)` is no file.
fn parse_libraries(program: &Path, listed: &str) -> Result<Vec<PathBuf>, ImageError> {
    let mut found = Vec::new();
    for line in listed.lines().map(str::trim) {
        let (library, place) = line.split_once(" => ").unwrap_or((line, line));
        if place == "not found" {
            let (program, library) = (program.to_owned(), library.to_owned());
            return Err(ImageError::Library { program, library });
        }
        let path = place.split(" (").next().unwrap_or(place);
        if path.starts_with('/') {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

/// All directories above these files, each once and before what is in it.
fn parents<'a>(files: impl Iterator<Item = &'a str>) -> std::collections::BTreeSet<String> {
    let above = |file: &'a str| Path::new(file).ancestors().skip(1).map(|dir| dir.display().to_string());
    files.flat_map(above).filter(|dir| !dir.is_empty()).collect()
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ImageError {
    let path = path.to_owned();
    move |source| ImageError::Io { path, source }
}

/// A tar archive whose entries have no time and belong to root.
struct Archive {
    tar: tar::Builder<Vec<u8>>,
}

impl Archive {
    fn new() -> Self {
        Self { tar: tar::Builder::new(Vec::new()) }
    }

    fn dir(&mut self, path: &str) -> io::Result<()> {
        self.entry(&format!("{path}/"), tar::EntryType::Directory, 0o755, &[])
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, tar::EntryType::Regular, mode, content)
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.tar.append_data(&mut header, path, content)
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        self.tar.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 0);
            let path = entry.path().unwrap().display().to_string();
            let mode = entry.header().mode().unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, mode, content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn an_image_has_its_program_with_the_libraries_and_can_be_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        let image = Image::new("shop/test:1", &program).label("org.opencontainers.image.version", "1");
        let (first, second) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
        image.write(&first).unwrap();
        image.write(&second).unwrap();
        let bytes = fs::read(&first).unwrap();
        assert_eq!(bytes, fs::read(&second).unwrap());

        let outer = entries(&bytes);
        let content = |name: &str| &outer.iter().find(|(path, ..)| path == name).unwrap().2;
        let manifest: serde_json::Value = serde_json::from_slice(content("manifest.json")).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "shop/test:1");
        let config: serde_json::Value =
            serde_json::from_slice(content(manifest[0]["Config"].as_str().unwrap())).unwrap();
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "1");
        let layer = content("layer.tar");
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex_digest(layer)));

        let files = entries(layer);
        let entrypoint = config["config"]["Entrypoint"][0].as_str().unwrap();
        let own = files.iter().find(|(path, ..)| format!("/{path}") == entrypoint).unwrap();
        assert!(own.1 == 0o755 && own.2 == fs::read(&program).unwrap());
        assert!(files.iter().any(|(path, ..)| path.contains("libc.so")));
        assert!(!files.iter().any(|(path, ..)| path.ends_with("/sh")), "no shell");
    }

    #[test]
    fn libraries_are_read_from_what_ldd_lists_and_a_missing_one_is_named() {
        let listed =
            "\tlinux-vdso.so.1 (0x7f)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n\t/lib64/ld.so (0x7f)\n";
        let found = parse_libraries(Path::new("/p"), listed).unwrap();
        assert_eq!(found, [PathBuf::from("/lib/libc.so.6"), PathBuf::from("/lib64/ld.so")]);
        let said = parse_libraries(Path::new("/p"), "\tlibx.so => not found\n").unwrap_err().to_string();
        assert_eq!(said, "/p needs the library libx.so, which is not on this machine");
    }
}
