//! What tells a receiver that a body is ours: HMAC-SHA-256 (RFC 2104) over the time and the body.

use aws_lc_rs::hmac;

/// Value of `Anabranch-Signature`: `t=<Unix seconds>` and a `v1=` for each secret, which is the HMAC of `<t>.<body>` in
/// hexadecimal. The key is the whole text of the secret.
pub(super) fn signature(seconds: i64, body: &[u8], secrets: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut header = format!("t={seconds}");
    for secret in secrets {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(seconds.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        header.push_str(",v1=");
        for byte in context.sign().as_ref() {
            // Writing to a text does not fail.
            let _ = write!(header, "{byte:02x}");
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_answer() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
        let one = "38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789";
        assert_eq!(signature(1_700_000_000, b"{\"a\":1}", &["whsec_test"]), format!("t=1700000000,v1={one}"));
        let two = signature(1_700_000_000, b"{\"a\":1}", &["whsec_test", "other"]);
        assert!(two.starts_with(&format!("t=1700000000,v1={one},v1=")) && !two.ends_with(one), "{two}");
    }
}
