//! Why something could not be done with the hub, in the words of this program.

use hf_hub::HFError;

use super::HubOptions;
use crate::{Error, HubReference};

/// What was to be done, for the errors that come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task<'a> {
    /// As in "cannot … hub:owner/name".
    pub(super) what: &'static str,
    pub(super) reference: &'a HubReference,
    pub(super) offline: bool,
}

impl<'a> Task<'a> {
    pub(super) fn get(reference: &'a HubReference, options: &HubOptions<'_>) -> Self {
        Self { what: "get", reference, offline: options.offline }
    }

    /// It failed, for a reason in words.
    pub(super) fn refused(&self, reason: &str) -> Error {
        let reference = self.reference.to_string();
        Error::Hub { what: self.what, reference, reason: reason.to_owned() }
    }

    /// It failed, and the client says why.
    pub(super) fn failed(&self, cause: &HFError) -> Error {
        self.refused(&reason(cause, Some(self.reference), self.offline))
    }
}

const NO_MODEL: &str =
    "there is nothing of that name, or it is not public; check the name, or log in to the hub";

/// Why, and what to do about it. Neither addresses nor texts of the server go in: the ones can hold signatures, and the
/// others whatever was sent.
fn reason(cause: &HFError, reference: Option<&HubReference>, offline: bool) -> String {
    let revision = reference.and_then(HubReference::revision);
    // The client asks for a revision, and takes any "not found" for an answer about that; the hub
    // says which of the two is not there, and a model always has the revision of no name.
    let no_model =
        |code: Option<&str>| code == Some("RepoNotFound") || code.is_none() && revision.is_none();
    match cause {
        HFError::LocalEntryNotFound { .. } if offline => {
            "it is not in the cache; go online once, or give a folder".to_owned()
        }
        HFError::RepoNotFound { .. } => NO_MODEL.to_owned(),
        HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context }
        | HFError::RateLimited { context, .. }
        | HFError::Http { context } => {
            status(context.status.as_u16(), context.error_code.as_deref(), revision)
        }
        HFError::RevisionNotFound { context, .. }
            if no_model(context.as_ref().and_then(|context| context.error_code.as_deref())) =>
        {
            NO_MODEL.to_owned()
        }
        HFError::RevisionNotFound { revision, .. } => no_revision(revision),
        HFError::EntryNotFound { path, .. } => {
            format!("{path:?} is missing from it; tell its owner")
        }
        HFError::MalformedResponse { what, .. } => {
            format!("the hub's answer is not whole ({}); check its address", plain(what))
        }
        HFError::Io(error) => format!("{error}; check the cache's folder and the room there"),
        HFError::Json(_) => "the hub's answer is no JSON; check its address".to_owned(),
        HFError::Url(_) => "the hub's address is none; check HF_ENDPOINT".to_owned(),
        HFError::Request { source, .. } => {
            format!("{}; check the network, or work from the cache", network(source))
        }
        HFError::Xet { .. } => {
            "the hub's storage cannot be reached, or sends something else; check the network, \
                                and try again"
                .to_owned()
        }
        _ => "the hub's client failed; check the network, or work from the cache".to_owned(),
    }
}

fn no_revision(revision: &str) -> String {
    format!("it has no revision {revision}; check the name")
}

/// Why, where no model was named.
pub(super) fn in_general(cause: &HFError) -> String {
    reason(cause, None, false)
}

/// What a status means to whoever asked.
fn status(status: u16, code: Option<&str>, revision: Option<&str>) -> String {
    let said = match (status, code) {
        (_, Some("RepoNotFound")) => NO_MODEL,
        (_, Some("RevisionNotFound")) => {
            return no_revision(revision.unwrap_or("main"));
        }
        (_, Some("GatedRepo")) => {
            "its owner lets in who asks; ask at its page on the hub, and log in to the hub"
        }
        (401, _) => "the hub does not accept the token; log in to it again, or set HF_TOKEN",
        (403, _) => "the hub forbids it to this user; ask its owner, or use another token",
        (404, _) => NO_MODEL,
        (409 | 412, _) => "it was changed meanwhile; look at what is there, and try again",
        (413, _) => "it is too large for the hub; ask the hub's owner",
        (429, _) => "the hub asks for a pause; try again in some minutes",
        (500.., _) => {
            return format!("the hub itself fails (status {status}); try again later");
        }
        _ => return format!("the hub refuses (status {status}); check its address"),
    };
    said.to_owned()
}

/// What is wrong with a connection.
fn network(error: &(impl std::error::Error + 'static)) -> String {
    let mut root: &dyn std::error::Error = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    // The error itself names an address; its deepest cause is of the system or of the protocol.
    if error.source().is_none() {
        return "the connection failed".to_owned();
    }
    format!("the connection failed: {}", plain(&root.to_string()))
}

/// A text on one line and without addresses.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let is_address = word.contains("://");
        if is_address { "…" } else { word }
    });
    words.collect::<Vec<_>>().join(" ").chars().filter(|it| !it.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_repeated() {
        assert_eq!(plain("a\n https://x/y?token=z \u{7}b"), "a … b");
    }

    #[test]
    fn each_status_has_its_words() {
        let model = Some("v1");

        assert!(status(401, None, model).contains("HF_TOKEN"));
        assert_eq!(status(401, Some("RepoNotFound"), model), NO_MODEL);
        assert!(status(403, None, model).contains("forbids"));
        assert!(status(403, Some("GatedRepo"), model).contains("lets in"));
        assert!(status(404, Some("RevisionNotFound"), model).contains("no revision v1"));
        assert!(status(412, None, model).contains("meanwhile"));
        assert!(status(429, None, model).contains("pause"));
        assert!(status(503, None, model).contains("503"));
        assert!(status(418, None, model).contains("418"));
    }
}
