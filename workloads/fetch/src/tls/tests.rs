use std::{ffi::OsStr, fs};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};
use tempfile::tempdir;

use super::*;

/// The certificate of an authority, in PEM form.
fn authority(name: &str) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

fn count(trust: &Trust) -> usize {
    match trust {
        Trust::Only(named) => named.0.authorities.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_has_certificates_in_pem_form() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let (a, b) = (authority("a"), authority("b"));
    fs::write(&file, format!("\u{feff}comment\n{a}text between\r\n{}{a}", b.replace('\n', "\r\n"))).unwrap();
    let trust = Trust::of_file(&file).unwrap();
    assert_eq!(count(&trust), 2);
    let bytes = postcard::to_stdvec(&trust).unwrap();
    assert_eq!(postcard::from_bytes::<Trust>(&bytes), Ok(trust.clone()));
    assert_eq!(trust.config().map(drop), Ok(()));
}

#[test]
fn a_file_without_certificates_is_refused() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let refused = |content: &[u8]| {
        fs::write(&file, content).unwrap();
        Trust::of_file(&file).unwrap_err()
    };
    assert_eq!(refused(b""), "no certificate in PEM form");
    assert_eq!(refused(b"\x30\x82\x01\x02"), "no certificate in PEM form");
    assert_eq!(
        refused(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "no certificate in PEM form"
    );
    assert_eq!(refused(b"-----BEGIN CERTIFICATE-----\nAAAA\n"), "not in PEM form");
    assert!(refused(&vec![b'\n'; 4 << 20 | 1]).contains("more than"));
    assert_eq!(Trust::of_file(&dir.path().join("gone")).unwrap_err(), "No such file or directory");
    // It has no end.
    assert!(Trust::of_file(Path::new("/dev/zero")).unwrap_err().contains("more than"));
}

#[test]
fn the_environment_names_a_file_and_directories() {
    let dir = tempdir().unwrap();
    let (file, one, other) = (dir.path().join("ca.pem"), dir.path().join("one"), dir.path().join("other"));
    fs::write(&file, authority("a")).unwrap();
    for (dir, name) in [(&one, "b"), (&other, "c")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("cert.0"), authority(name)).unwrap();
    }
    let dirs = env::join_paths([&one, &other, &dir.path().join("gone")]).unwrap();
    let (file, gone) = (Some(file.as_os_str()), Some(OsStr::new("gone")));
    assert_eq!(Trust::of_variables(None, None), Trust::System);
    assert_eq!(count(&Trust::of_variables(file, None)), 1);
    assert_eq!(count(&Trust::of_variables(file, Some(&dirs))), 3);
    assert_eq!(count(&Trust::of_variables(gone, Some(&dirs))), 2);
    let unusable = Trust::of_variables(gone, None);
    assert_eq!(unusable, Trust::Unusable("SSL_CERT_FILE gone: No such file or directory".to_owned()));
    assert_eq!(
        unusable.config().map(drop),
        Err(TransportError::Tls("SSL_CERT_FILE gone: No such file or directory".to_owned()))
    );
}

#[test]
fn a_machine_without_a_store_trusts_the_compiled_in_authorities() {
    assert!(webpki_roots::TLS_SERVER_ROOTS.len() > 50);
    assert_eq!(roots(Vec::new()).len(), webpki_roots::TLS_SERVER_ROOTS.len());
}
