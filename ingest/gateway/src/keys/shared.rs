//! Secrets that several tenants of a source have: nobody can say whose an event is.

use super::{Fault, Held};
use std::collections::{BTreeMap, BTreeSet};
use trackway_sources::{Credential, Source};

/// Takes secrets that several tenants of `source` have out of use: the first of them would get the others' events.
pub(super) fn take_out_shared(source: &Source, held: &mut [Held]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut places: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (place, one) in held.iter().enumerate() {
        if let Some(key) = &one.key {
            places.entry(key.fingerprint()).or_default().push(place);
        }
    }
    for places in places.into_values() {
        let tenants: BTreeSet<&str> = places.iter().map(|place| &*held[*place].tenant).collect();
        if tenants.len() == 1 {
            continue;
        }
        let whose = places.iter().map(|place| {
            let Credential { tenant, secret } = &source.credentials[*place];
            format!("Secret {} key {} of tenant {tenant}", secret.name, secret.key)
        });
        faults.push(Fault::Shared(format!("source {}: {}", source.id, whose.collect::<Vec<_>>().join(", "))));
        places.iter().for_each(|place| held[*place].key = None);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::{Keys, Kind};
    use super::*;
    use hmac::{Hmac, Mac as _};
    use http::{HeaderMap, HeaderName, HeaderValue};
    use jiff::Timestamp;
    use sha2::Sha256;
    use std::sync::Arc;
    use trackway_sources::IngestConfig;

    const CONFIG: &str = "
sources:
- id: app
  auth: {kind: Bearer}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: a}}
  - {tenant: octo-org, secretRef: {name: octo, key: b}}
  - {tenant: acme, secretRef: {name: acme, key: a}}
- id: other
  auth: {kind: Bearer}
  credentials: [{tenant: acme, secretRef: {name: octo, key: a}}]
- id: hooks
  auth: {kind: StandardWebhooks}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: sign}}
  - {tenant: acme, secretRef: {name: acme, key: sign}}
- id: github
  auth: {kind: GitHub}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: hub}}
  - {tenant: acme, secretRef: {name: acme, key: hub}}
namespaces: [{name: team-a}]
";

    /// Keys of these secrets: NAME/KEY, text.
    fn keys(secrets: &[(&str, &str)]) -> (Keys, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let usual = [
            ("octo/a", "one"),
            ("octo/b", "two"),
            ("acme/a", "three"),
            ("octo/sign", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("acme/sign", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("octo/hub", "one"),
            ("acme/hub", "two"),
        ];
        for (path, text) in usual.iter().chain(secrets) {
            write(&folder, path, text);
        }
        (Keys::read(Arc::new(IngestConfig::parse(CONFIG).unwrap()), folder.path()), folder)
    }

    fn write(folder: &tempfile::TempDir, path: &str, text: &str) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The tenant of a token at a source, or the kind of problem.
    fn whose(keys: &Keys, source: &str, token: &str) -> Result<String, Kind> {
        let source = keys.config.sources.iter().find(|one| one.id == source).unwrap();
        keys.of_bearer(source, &bearer(token)).map(|tenant| tenant.to_string()).map_err(|problem| problem.kind)
    }

    fn bearer(token: &str) -> HeaderMap {
        headers(&[("authorization", &format!("Bearer {token}"))])
    }

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let header =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers.iter().map(header).collect()
    }

    fn told(keys: &Keys) -> Vec<String> {
        let told = keys.told.lock().unwrap();
        let text = |fault: &Fault| match fault {
            Fault::Unusable(why) => format!("unusable: {why}"),
            Fault::Shared(whose) => format!("shared: {whose}"),
        };
        told.iter().map(text).collect()
    }

    #[test]
    fn a_token_of_two_tenants_lets_nobody_in_until_each_has_its_own() {
        let (keys, folder) = keys(&[("acme/a", "two\n")]);
        assert_eq!(whose(&keys, "app", "two"), Err(Kind::Unavailable));
        assert_eq!(whose(&keys, "app", "one").unwrap(), "octo-org", "the other secrets of the source count");
        assert_eq!(keys.holders(&bearer("two")).unwrap_err().kind, Kind::NotAuthenticated);
        let expected = "shared: source app: Secret octo key b of tenant octo-org, Secret acme key a of tenant acme";
        assert_eq!(told(&keys), [expected]);

        write(&folder, "acme/a", "three");
        keys.read_again();
        assert_eq!(whose(&keys, "app", "two").unwrap(), "octo-org");
        assert_eq!(whose(&keys, "app", "three").unwrap(), "acme");
        assert!(told(&keys).is_empty());
    }

    #[test]
    fn the_same_token_twice_for_a_tenant_or_at_another_source_is_no_fault() {
        let (keys, _folder) = keys(&[("octo/b", "one")]);
        assert_eq!(whose(&keys, "app", "one").unwrap(), "octo-org");
        assert_eq!(whose(&keys, "other", "one").unwrap(), "acme");
        let holders = keys.holders(&bearer("one")).unwrap();
        let tenants: BTreeSet<&str> = holders.iter().map(|(_, tenant)| &**tenant).collect();
        assert_eq!(tenants, BTreeSet::from(["acme", "octo-org"]));
        assert!(told(&keys).is_empty());
    }

    #[test]
    fn a_token_that_a_third_tenant_has_twice_takes_all_of_them_out() {
        let (keys, _folder) = keys(&[("octo/b", "one"), ("acme/a", "one")]);
        assert_eq!(whose(&keys, "app", "one"), Err(Kind::Unavailable));
        assert!(
            told(&keys)[0].contains("Secret octo key a of tenant octo-org, Secret octo key b of tenant octo-org, Secret acme")
        );
    }

    #[test]
    fn signing_keys_of_two_tenants_are_the_same_however_they_are_written() {
        let (octo, acme) = ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
        // A key shorter than a block of SHA-256 is filled up with zeros.
        let (keys, _folder) = keys(&[("octo/sign", octo), ("acme/sign", acme), ("octo/hub", "hub"), ("acme/hub", "hub\0\0")]);
        let told = told(&keys);
        assert_eq!(told.len(), 2, "{told:?}");
        for (told, source) in told.iter().zip(["github", "hooks"]) {
            assert!(told.starts_with(&format!("shared: source {source}: Secret octo key ")), "{told}");
            assert!(!told.contains("AAAA"), "{told}");
        }
        let whose = |id: &str, headers: &HeaderMap| {
            let source = keys.config.sources.iter().find(|one| one.id == id).unwrap();
            keys.of_signature(source, headers, b"{}", Timestamp::from_second(1_000).unwrap()).unwrap_err().kind
        };
        let hub = Hmac::<Sha256>::new_from_slice(b"hub").unwrap().chain_update("{}").finalize().into_bytes();
        let hub = format!("sha256={}", hex::encode(hub));
        assert_eq!(whose("github", &headers(&[("x-hub-signature-256", &hub)])), Kind::Unavailable);
        let signature = standardwebhooks::Webhook::new(acme.trim()).unwrap().sign("m", 1_000, b"{}").unwrap();
        let signed = [("webhook-id", "m"), ("webhook-timestamp", "1000"), ("webhook-signature", &signature)];
        assert_eq!(whose("hooks", &headers(&signed)), Kind::Unavailable);
    }
}
