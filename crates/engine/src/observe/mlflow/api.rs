//! The calls of MLflow's REST API that a run needs.
//!
//! # Source
//!
//! *REST API*, version 2.0, of [mlflow.org](https://mlflow.org/docs/latest/rest-api.html).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::aws_lc_rs;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::outbox::{Batch, RunStatus};
use crate::{Error, Result};

/// How long a call may take: training does not wait for it, but the end of a run does.
const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// Where an MLflow server is, and how it knows who asks.
///
/// Calls go through the proxy that the environment names, as those of other programs do.
#[derive(Clone, Debug)]
pub struct MlFlowServer {
    base: String,
    login: MlFlowLogin,
}

/// How a server knows who asks.
#[derive(Clone, Default)]
pub enum MlFlowLogin {
    /// It does not ask.
    #[default]
    None,
    /// By a token.
    Token(String),
    /// By name and password.
    Password(String, String),
}

impl fmt::Debug for MlFlowLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Password(..) => "Password(…)",
        })
    }
}

impl MlFlowServer {
    /// At an address such as `http://host:5000` or `https://host/path`.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], where that is no address of a web server, or holds a name or a password.
    pub fn at(address: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Err(Error::Settings(format!(
                "{address} {what}; give the address of an MLflow server, such as http://localhost:5000"
            )))
        };
        let Ok(uri) = address.parse::<Uri>() else { return wrong("is no URL") };
        let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("is no URL that begins with http:// or https://");
        };
        if authority.as_str().contains('@') {
            // Not repeated: it may be a password.
            return Err(Error::Settings(
                "the address of the MLflow server holds a name or password; give these apart from it"
                    .to_owned(),
            ));
        }
        if authority.host().is_empty() || uri.query().is_some() || address.contains('#') {
            return wrong("is more or less than an address");
        }
        Ok(Self { base: address.trim_end_matches('/').to_owned(), login: MlFlowLogin::None })
    }

    /// The same, where one has to log in.
    #[must_use]
    pub fn with_login(self, login: MlFlowLogin) -> Self {
        Self { login, ..self }
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.base
    }
}

/// Why a call came to nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It may succeed later: nobody answered, or nobody who knew what to do.
    Outage(String),
    /// It never will: what was sent is not taken.
    Refused {
        /// MLflow's own word for it.
        code: String,
        /// What the server says.
        message: String,
    },
}

/// What a run is called, and by what it is found.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) experiment: String,
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

/// Talks to a server.
pub(super) struct Client {
    server: MlFlowServer,
    agent: Agent,
}

impl Client {
    pub(super) fn new(server: MlFlowServer) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            // A login belongs to the server that it was given for.
            .max_redirects(0)
            .user_agent(concat!("sconce/", env!("CARGO_PKG_VERSION")));
        Self { server, agent: config.build().new_agent() }
    }

    /// Begins a run; its name on the server.
    pub(super) fn create(&self, identity: &Identity, start: u64) -> Result<String, Failure> {
        let experiment = self.experiment(&identity.experiment)?;
        let mut tags = identity.tags.clone();
        tags.extend(identity.user.iter().map(|user| ("mlflow.user".to_owned(), user.clone())));
        let made = self.post(
            "runs/create",
            &json!({
                "experiment_id": experiment, "run_name": identity.name, "start_time": start,
                "user_id": identity.user.as_deref().unwrap_or_default(), "tags": pairs(&tags),
            }),
        )?;
        text(&made, "/run/info/run_id")
    }

    /// The experiment of that name, made where there is none.
    fn experiment(&self, name: &str) -> Result<String, Failure> {
        match self.find_experiment(name) {
            Err(Failure::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => {}
            found => return found,
        }
        match self.post("experiments/create", &json!({ "name": name })) {
            Ok(made) => text(&made, "/experiment_id"),
            // Another run was quicker.
            Err(Failure::Refused { code, .. }) if code == "RESOURCE_ALREADY_EXISTS" => {
                self.find_experiment(name)
            }
            Err(failure) => Err(failure),
        }
    }

    fn find_experiment(&self, name: &str) -> Result<String, Failure> {
        let request = self.agent.get(self.url("experiments/get-by-name"));
        let request = request.query("experiment_name", name);
        let answer = match self.authorization() {
            Some(login) => request.header("Authorization", login).call(),
            None => request.call(),
        };
        let found = self.read(answer)?;
        if found.pointer("/experiment/lifecycle_stage").and_then(Value::as_str) == Some("deleted") {
            return Err(Failure::Refused {
                code: "INVALID_STATE".to_owned(),
                message: format!("the experiment {name} is deleted; restore it, or name another"),
            });
        }
        text(&found, "/experiment/experiment_id")
    }

    /// Adds to a run.
    pub(super) fn log(&self, run: &str, batch: &Batch) -> Result<(), Failure> {
        let metric = |it: &super::outbox::Metric| json!({ "key": it.key, "value": it.value, "step": it.step, "timestamp": it.time });
        let body = json!({
            "run_id": run,
            "metrics": batch.metrics.iter().map(metric).collect::<Vec<_>>(),
            "params": pairs(&batch.parameters),
            "tags": pairs(&batch.tags),
        });
        self.post("runs/log-batch", &body).map(drop)
    }

    /// Says how a run stands, and when it ended.
    pub(super) fn update(
        &self,
        run: &str,
        status: RunStatus,
        end: Option<u64>,
    ) -> Result<(), Failure> {
        let mut body = json!({ "run_id": run, "status": status.name() });
        if let Some(end) = end {
            body["end_time"] = end.into();
        }
        self.post("runs/update", &body).map(drop)
    }

    fn url(&self, call: &str) -> String {
        format!("{}/api/2.0/mlflow/{call}", self.server.base)
    }

    fn authorization(&self) -> Option<String> {
        match &self.server.login {
            MlFlowLogin::None => None,
            MlFlowLogin::Token(token) => Some(format!("Bearer {token}")),
            MlFlowLogin::Password(name, password) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))))
            }
        }
    }

    fn post(&self, call: &str, body: &Value) -> Result<Value, Failure> {
        let mut request =
            self.agent.post(self.url(call)).header("Content-Type", "application/json");
        if let Some(login) = self.authorization() {
            request = request.header("Authorization", login);
        }
        self.read(request.send(body.to_string()))
    }

    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let outage = |error: ureq::Error| Failure::Outage(format!("{error}; check the address"));
        let mut answer = answer.map_err(outage)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().map_err(outage)?;
        let found: Value = serde_json::from_str(&body).unwrap_or_default();
        match status {
            200 if found.is_object() => Ok(found),
            401 | 403 => Err(Failure::Outage(format!(
                "it does not let us in ({status}); give a token, or a name and password"
            ))),
            408 | 429 | 500.. => {
                Err(Failure::Outage(format!("it answers {status}; look at its log")))
            }
            _ => match (&found["error_code"], &found["message"]) {
                (Value::String(code), message) => Err(Failure::Refused {
                    code: code.clone(),
                    message: message.as_str().unwrap_or(code).to_owned(),
                }),
                _ => Err(Failure::Outage(format!(
                    "what answers there ({status}) is no MLflow server; check the address, {}",
                    self.server.base
                ))),
            },
        }
    }
}

fn pairs(all: &[(String, String)]) -> Vec<Value> {
    all.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// What an answer says in one place.
fn text(answer: &Value, place: &str) -> Result<String, Failure> {
    let found = answer.pointer(place).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| Failure::Outage(format!("its answer has no {place}; check its version")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_web_server() {
        for right in ["http://localhost:5000", "https://host/some/path/", "http://[::1]:80"] {
            assert!(MlFlowServer::at(right).is_ok(), "{right}");
        }
        for wrong in ["run.toml", "", "localhost:5000", "file:///tmp/x", "http://", "http://a?b=c"]
        {
            let error = MlFlowServer::at(wrong).unwrap_err().to_string();
            assert!(error.contains("such as http://localhost:5000"), "{wrong}: {error}");
        }
        let error = MlFlowServer::at("http://me:secret@host").unwrap_err().to_string();
        assert!(!error.contains("secret") && error.contains("password"), "{error}");
        let server = MlFlowServer::at("https://host/path/").expect("an address");
        assert_eq!(server.address(), "https://host/path");
        let login = MlFlowLogin::Token("secret".to_owned());
        assert!(!format!("{:?}", server.with_login(login)).contains("secret"));
    }
}
