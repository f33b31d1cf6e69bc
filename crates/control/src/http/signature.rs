//! Parameters of a viewer's signature, for the API's document: what they say is read from the raw query.

use utoipa::IntoParams;

/// Those of a play URL.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the document names them")]
pub(super) struct Signature {
    /// As in the play URL
    #[param(rename = "Policy")]
    policy: String,
    /// As in the play URL
    #[param(rename = "Signature")]
    signature: String,
    /// As in the play URL
    #[param(rename = "Key-Pair-Id")]
    key_pair_id: String,
    /// As in the play URL
    #[param(rename = "Hash-Algorithm")]
    hash_algorithm: Option<String>,
}

/// Those of a play URL, where another answer than a refusal is given without them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only the document names them")]
pub(super) struct MaybeSignature {
    /// As in the play URL
    #[param(rename = "Policy")]
    policy: Option<String>,
    /// As in the play URL, if it has a canned policy
    #[param(rename = "Expires")]
    expires: Option<i64>,
    /// As in the play URL
    #[param(rename = "Signature")]
    signature: Option<String>,
    /// As in the play URL
    #[param(rename = "Key-Pair-Id")]
    key_pair_id: Option<String>,
    /// As in the play URL
    #[param(rename = "Hash-Algorithm")]
    hash_algorithm: Option<String>,
}
