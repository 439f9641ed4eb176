//! How a component reaches NATS.

use std::path::PathBuf;

use async_nats::ServerAddr;
use secrecy::SecretString;

use crate::NatsError;
use crate::subjects::token;

/// Who the component is to the server.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// The server asks for none.
    #[default]
    None,
    /// A user of the server's configuration.
    UserPassword {
        /// Its name, which error messages show.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// A token of the server's configuration.
    Token(SecretString),
    /// A `.creds` file with a JWT and its key.
    File(PathBuf),
}

impl Credentials {
    /// What error messages call the caller.
    pub(crate) fn who(&self) -> String {
        match self {
            Self::None => "the anonymous NATS user".to_owned(),
            Self::UserPassword { user, .. } => format!("NATS user {user:?}"),
            Self::Token(_) => "the NATS user of the configured token".to_owned(),
            Self::File(path) => format!("the NATS user of credentials file {}", path.display()),
        }
    }
}

/// How a component reaches NATS. Holds no secret that `Debug` would show.
#[derive(Debug, Clone)]
pub struct NatsConfig {
    /// `nats://HOST:PORT` or `tls://HOST:PORT`; several servers of one cluster separated by commas.
    pub url: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Where replies arrive, for example `_INBOX_team-a`. Private to one component of one namespace: with the client's
    /// default, `_INBOX`, every user that may subscribe to it hears everybody's replies.
    pub inbox_prefix: String,
    /// PEM file with the authority that signed the server's certificate, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Shown by the server's monitoring, for example `operator`.
    pub name: String,
}

impl NatsConfig {
    /// Reads the process environment; see [`NatsConfig::from_variables`].
    ///
    /// # Errors
    /// As [`NatsConfig::from_variables`].
    pub fn from_env(name: &str) -> Result<Self, NatsError> {
        Self::from_variables(name, |variable| std::env::var(variable).ok())
    }

    /// Reads `TRACKWAY_NATS_URL` (required), `TRACKWAY_NATS_INBOX_PREFIX` (default `_INBOX_` and `name`),
    /// `TRACKWAY_NATS_CA_FILE`, and one of `TRACKWAY_NATS_USER` with `TRACKWAY_NATS_PASSWORD`, `TRACKWAY_NATS_TOKEN` or
    /// `TRACKWAY_NATS_CREDENTIALS_FILE`. Empty counts as absent. `name` is the component's.
    ///
    /// # Errors
    /// [`NatsError::Permanent`] naming the variable when one is missing or contradicts another.
    pub fn from_variables(name: &str, get: impl Fn(&str) -> Option<String>) -> Result<Self, NatsError> {
        let get = |variable: &str| get(variable).filter(|value| !value.is_empty());
        let url = get("TRACKWAY_NATS_URL").ok_or_else(|| {
            NatsError::permanent(
                "read NATS settings",
                "TRACKWAY_NATS_URL is not set: set it to nats://HOST:PORT of the NATS server",
            )
        })?;
        let config = Self {
            url,
            credentials: credentials(&get)?,
            inbox_prefix: get("TRACKWAY_NATS_INBOX_PREFIX").unwrap_or_else(|| format!("_INBOX_{name}")),
            ca_file: get("TRACKWAY_NATS_CA_FILE").map(PathBuf::from),
            name: name.to_owned(),
        };
        config.servers()?;
        Ok(config)
    }

    /// The servers of `url`; refuses credentials inside it, which logs would show.
    pub(crate) fn servers(&self) -> Result<Vec<ServerAddr>, NatsError> {
        let action = "read the NATS URL";
        let servers = self
            .url
            .split(',')
            .map(|part| part.trim().parse::<ServerAddr>().map_err(|error| NatsError::permanent(action, error)))
            .collect::<Result<Vec<_>, _>>()?;
        if servers.iter().any(ServerAddr::has_user_pass) {
            let reason = "it holds a user or password, and logs show it: use TRACKWAY_NATS_USER and TRACKWAY_NATS_PASSWORD";
            return Err(NatsError::permanent(action, reason));
        }
        self.inbox_prefix.split('.').try_for_each(|part| token("NATS inbox prefix", part))?;
        Ok(servers)
    }
}

fn credentials(get: &impl Fn(&str) -> Option<String>) -> Result<Credentials, NatsError> {
    let wrong = |reason: &str| Err(NatsError::permanent("read NATS settings", reason));
    match (
        get("TRACKWAY_NATS_USER"),
        get("TRACKWAY_NATS_PASSWORD"),
        get("TRACKWAY_NATS_TOKEN"),
        get("TRACKWAY_NATS_CREDENTIALS_FILE"),
    ) {
        (None, None, None, None) => Ok(Credentials::None),
        (Some(user), Some(password), None, None) => Ok(Credentials::UserPassword { user, password: password.into() }),
        (None, None, Some(token), None) => Ok(Credentials::Token(token.into())),
        (None, None, None, Some(path)) => Ok(Credentials::File(path.into())),
        (Some(_), None, None, None) => wrong("TRACKWAY_NATS_USER is set and TRACKWAY_NATS_PASSWORD is not: set both"),
        (None, Some(_), None, None) => wrong("TRACKWAY_NATS_PASSWORD is set and TRACKWAY_NATS_USER is not: set both"),
        _ => wrong(
            "set only one of TRACKWAY_NATS_USER with TRACKWAY_NATS_PASSWORD, TRACKWAY_NATS_TOKEN, TRACKWAY_NATS_CREDENTIALS_FILE",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<NatsConfig, NatsError> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        NatsConfig::from_variables("operator", find)
    }

    #[test]
    fn a_password_never_shows() {
        let config =
            read(&[("TRACKWAY_NATS_URL", "nats://a:4222"), ("TRACKWAY_NATS_USER", "op"), ("TRACKWAY_NATS_PASSWORD", "hunter2")])
                .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.inbox_prefix, "_INBOX_operator");
    }

    #[test]
    fn contradictions_are_named() {
        let url = ("TRACKWAY_NATS_URL", "nats://a:4222");
        for (variables, expected) in [
            (vec![], "TRACKWAY_NATS_URL is not set"),
            (vec![("TRACKWAY_NATS_URL", "nats://u:p@a:4222")], "it holds a user or password"),
            (vec![url, ("TRACKWAY_NATS_USER", "op")], "TRACKWAY_NATS_PASSWORD is not"),
            (
                vec![url, ("TRACKWAY_NATS_USER", "op"), ("TRACKWAY_NATS_PASSWORD", "x"), ("TRACKWAY_NATS_TOKEN", "y")],
                "set only one",
            ),
            (vec![url, ("TRACKWAY_NATS_INBOX_PREFIX", "a.>")], "NATS inbox prefix"),
        ] {
            let error = read(&variables).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
