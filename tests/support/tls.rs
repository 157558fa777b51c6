//! Certificates for servers and clients on loopback, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority and a server's certificate, in files.
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    authority_key: PathBuf,
    /// The server's certificate.
    pub(crate) certificate: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
    /// Certificate and key in one file.
    pub(crate) both: PathBuf,
    folder: PathBuf,
}

/// When a certificate can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Valid {
    Now,
    /// Its time was years ago.
    Once,
}

impl Certificates {
    /// Makes them in a folder, which it creates.
    pub(crate) fn make(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let file = |name: &str| folder.join(name);
        let (authority, authority_key) = (file("ca.pem"), file("ca-key.pem"));
        let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let of_authority = ["-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE"];
        openssl(&[&new[..], &of_authority].concat(), &[("-keyout", &authority_key), ("-out", &authority)]);
        std::fs::write(file("issued"), "").unwrap();
        std::fs::write(file("issued.conf"), CONFIG).unwrap();
        let mut made = Self {
            authority,
            authority_key,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            both: PathBuf::new(),
            folder: folder.to_owned(),
        };
        (made.certificate, made.key, made.both) = made.issue("localhost", Valid::Now);
        made
    }

    /// A further certificate for this name on loopback, its key, and both in one file.
    pub(crate) fn issue(&self, name: &str, valid: Valid) -> (PathBuf, PathBuf, PathBuf) {
        let file = |kind: &str| self.folder.join(format!("{name}-{valid:?}-{kind}.pem").to_lowercase());
        let (request, certificate, key, both) = (file("request"), file("cert"), file("key"), file("both"));
        let subject = format!("/CN={name}");
        let new = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", &subject];
        let names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"];
        openssl(&[&new[..], &names].concat(), &[("-keyout", &key), ("-out", &request)]);
        let times: &[&str] = match valid {
            Valid::Now => &["-days", "2"],
            Valid::Once => &["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"],
        };
        let mut command = Command::new("openssl");
        // Its configuration names files of the folder.
        command.current_dir(&self.folder).args(["ca", "-batch", "-notext", "-config", "issued.conf"]);
        command.args(times);
        for (option, file) in
            [("-cert", &self.authority), ("-keyfile", &self.authority_key), ("-in", &request), ("-out", &certificate)]
        {
            command.arg(option).arg(file);
        }
        run(&mut command);
        let text = [&key, &certificate].map(|path| std::fs::read_to_string(path).unwrap());
        std::fs::write(&both, text.concat()).unwrap();
        (certificate, key, both)
    }
}

/// What `openssl ca` must be told by a file.
const CONFIG: &str = "\
[ca]
default_ca = test
[test]
database = issued
new_certs_dir = .
rand_serial = yes
default_md = sha256
unique_subject = no
policy = names
copy_extensions = copy
x509_extensions = leaf
[names]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
";

fn openssl(arguments: &[&str], files: &[(&str, &PathBuf)]) {
    let mut command = Command::new("openssl");
    command.args(arguments);
    for (option, file) in files {
        command.arg(option).arg(file);
    }
    run(&mut command);
}

fn run(command: &mut Command) {
    let output = command.output().expect("openssl is there");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
