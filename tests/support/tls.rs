//! Certificates for servers on loopback, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority and a server's certificate, in files.
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
    /// Certificate and key in one file.
    pub(crate) both: PathBuf,
}

impl Certificates {
    /// Makes them in a folder that is there.
    pub(crate) fn make(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        let made = Self {
            authority: file("ca.pem"),
            certificate: file("cert.pem"),
            key: file("key.pem"),
            both: file("both.pem"),
        };
        let authority_key = file("ca-key.pem");
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let of_authority = ["-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"];
        openssl(&[&new[..], &of_authority].concat(), &[("-keyout", &authority_key), ("-out", &made.authority)]);
        let of_server = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
        let not_authority = ["-addext", "basicConstraints=critical,CA:FALSE"];
        openssl(
            &[&new[..], &of_server, &not_authority].concat(),
            &[
                ("-keyout", &made.key),
                ("-out", &made.certificate),
                ("-CA", &made.authority),
                ("-CAkey", &authority_key),
            ],
        );
        let text = [&made.key, &made.certificate].map(|path| std::fs::read_to_string(path).unwrap());
        std::fs::write(&made.both, text.concat()).unwrap();
        made
    }
}

fn openssl(arguments: &[&str], files: &[(&str, &PathBuf)]) {
    let mut command = Command::new("openssl");
    command.args(arguments);
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    let output = command.output().expect("openssl is there");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
