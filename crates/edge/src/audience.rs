//! Bend: who may watch a breakout now, whatever a signature allows.

use std::collections::HashSet;
use std::sync::Arc;

use anabranch_model::{BreakoutId, BreakoutSpec, CLAIM_MAX_CHARS};
use anabranch_signing::{Denied, ParsedPolicy, PolicyFault};
use quick_cache::DefaultHashBuilder;

/// Who may watch a breakout, compiled.
#[derive(Debug)]
pub(crate) struct Audience {
    pub(crate) breakout: BreakoutId,
    /// Whether is reported who watches.
    pub(crate) attendance: bool,
    curtain_up: bool,
    revoked_before: i64,
    expelled: HashSet<Box<str>, DefaultHashBuilder>,
}

/// Why a viewer whose signature is good may not watch now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// The curtain is down.
    Curtain,
    /// Signatures of that time are revoked.
    Revoked,
    /// The session is shut out.
    DeviceLimit,
    /// The signature is for another breakout.
    Breakout,
}

impl Barred {
    /// The word for players and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Curtain => "curtain",
            Self::Revoked => "revoked",
            Self::DeviceLimit => "device-limit",
            Self::Breakout => "breakout",
        }
    }
}

/// What a custom policy claims beside its statement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// The viewer's session.
    pub(crate) session: Option<Box<str>>,
    /// Who it is.
    pub(crate) user: Option<Box<str>>,
    /// The only breakout that is meant.
    pub(crate) breakout: Option<Box<str>>,
    /// Whether it opens what is behind the curtain.
    pub(crate) preview: bool,
    /// When it was signed, Unix seconds.
    pub(crate) issued: Option<i64>,
}

impl Claims {
    /// The claims of a policy that was verified.
    ///
    /// # Errors
    /// One has another type, or is empty or too long: to pass over it would grant more than was signed.
    pub(crate) fn read(policy: &ParsedPolicy) -> Result<Self, Denied> {
        let fault = || Denied::MalformedPolicy(PolicyFault::Claim);
        let text = |name| match policy.claim(name).map(|claim| claim.as_str()) {
            None => Ok(None),
            Some(Some(text)) if !text.is_empty() && text.chars().nth(CLAIM_MAX_CHARS).is_none() => {
                Ok(Some(text.into()))
            }
            Some(_) => Err(fault()),
        };
        Ok(Self {
            session: text("session")?,
            user: text("user")?,
            breakout: text("breakout")?,
            preview: policy.claim("preview").is_some_and(|claim| claim.as_bool() == Some(true)),
            issued: policy.claim("iat").map(|claim| claim.as_i64().ok_or_else(fault)).transpose()?,
        })
    }
}

impl Audience {
    /// Compiles what a snapshot says. What stays the same is taken over from `before`.
    pub(crate) fn compile(spec: &BreakoutSpec, before: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(before) = before.filter(|before| before.is(spec)) {
            return before.clone();
        }
        let wanted = &spec.audience;
        Arc::new(Self {
            breakout: spec.id.clone(),
            attendance: wanted.attendance,
            curtain_up: wanted.curtain_up,
            revoked_before: wanted.revoked_before,
            expelled: wanted.expelled.iter().map(|session| session.as_str().into()).collect(),
        })
    }

    /// Whether that is what `spec` says.
    fn is(&self, spec: &BreakoutSpec) -> bool {
        let wanted = &spec.audience;
        let same = (self.attendance, self.curtain_up, self.revoked_before)
            == (wanted.attendance, wanted.curtain_up, wanted.revoked_before);
        // Lists that repeat a session are as good as new ones.
        same && self.breakout == spec.id
            && self.expelled.len() == wanted.expelled.len()
            && wanted.expelled.iter().all(|session| self.expelled.contains(session.as_str()))
    }

    /// Judges the holder of a signature with these claims; nobody has claims where no signature is asked for. What the viewer cannot
    /// mend comes before what time may.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admits(&self, claims: Option<&Claims>) -> Result<(), Barred> {
        if let Some(claims) = claims {
            if claims.breakout.as_deref().is_some_and(|only| only != self.breakout.as_str()) {
                return Err(Barred::Breakout);
            }
            if self.revoked_before > 0 && claims.issued.is_none_or(|issued| issued < self.revoked_before) {
                return Err(Barred::Revoked);
            }
            if !self.expelled.is_empty()
                && claims.session.as_deref().is_some_and(|session| self.expelled.contains(session))
            {
                return Err(Barred::DeviceLimit);
            }
        }
        if self.curtain_up || claims.is_some_and(|claims| claims.preview) { Ok(()) } else { Err(Barred::Curtain) }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_model::AudienceSpec;
    use anabranch_signing::Policy;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn audience(spec: AudienceSpec) -> Arc<Audience> {
        Audience::compile(&breakout(spec), None)
    }

    fn breakout(audience: AudienceSpec) -> BreakoutSpec {
        let (id, channel) = ("b1".parse().unwrap(), "c1".parse().unwrap());
        BreakoutSpec { id, channel, on_air: true, session: 1, audience, aligned: None }
    }

    fn read(claims: &[(&str, Value)]) -> Result<Claims, Denied> {
        let policy = Policy::new("*", 9);
        let policy = claims.iter().fold(policy, |policy, (name, value)| policy.claim(name, value.clone()));
        Claims::read(&ParsedPolicy::parse(policy.render().as_bytes())?)
    }

    fn judged(audience: &Audience, claims: &[(&str, Value)]) -> Result<(), Barred> {
        audience.admits(Some(&read(claims).unwrap()))
    }

    #[test]
    fn each_rule_bars_by_its_own_name() {
        let open = audience(AudienceSpec::default());
        assert_eq!((judged(&open, &[]), open.admits(None)), (Ok(()), Ok(())));
        assert_eq!(judged(&open, &[("breakout", json!("b1"))]), Ok(()));
        assert_eq!(judged(&open, &[("breakout", json!("b2"))]), Err(Barred::Breakout));

        let dark = audience(AudienceSpec { curtain_up: false, ..AudienceSpec::default() });
        assert_eq!((judged(&dark, &[]), dark.admits(None)), (Err(Barred::Curtain), Err(Barred::Curtain)));
        assert_eq!(judged(&dark, &[("preview", json!(true))]), Ok(()));
        assert_eq!(judged(&dark, &[("preview", json!(true)), ("breakout", json!("b2"))]), Err(Barred::Breakout));

        let revoked = audience(AudienceSpec { revoked_before: 100, ..AudienceSpec::default() });
        assert_eq!(judged(&revoked, &[]), Err(Barred::Revoked));
        assert_eq!(judged(&revoked, &[("iat", json!(99)), ("preview", json!(true))]), Err(Barred::Revoked));
        assert_eq!((judged(&revoked, &[("iat", json!(100))]), revoked.admits(None)), (Ok(()), Ok(())));

        let full = audience(AudienceSpec { expelled: vec!["s1".to_owned()], ..AudienceSpec::default() });
        assert_eq!(judged(&full, &[("session", json!("s1"))]), Err(Barred::DeviceLimit));
        assert_eq!((judged(&full, &[("session", json!("s2"))]), judged(&full, &[])), (Ok(()), Ok(())));
    }

    #[test]
    fn only_what_has_changed_is_compiled_again() {
        let mut spec =
            breakout(AudienceSpec { expelled: vec!["s1".to_owned(), "s2".to_owned()], ..AudienceSpec::default() });
        let first = Audience::compile(&spec, None);
        assert!(Arc::ptr_eq(&first, &Audience::compile(&spec, Some(&first))));
        for change in [
            |audience: &mut AudienceSpec| audience.expelled[1] = "s3".to_owned(),
            |audience: &mut AudienceSpec| audience.curtain_up = false,
            |audience: &mut AudienceSpec| audience.revoked_before = 1,
            |audience: &mut AudienceSpec| audience.attendance = true,
        ] {
            let before = Audience::compile(&spec, None);
            change(&mut spec.audience);
            let after = Audience::compile(&spec, Some(&before));
            assert!(after.is(&spec) && !Arc::ptr_eq(&before, &after));
        }
    }

    fn odd() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,200}".prop_map(Value::from),
            (0_usize..500).prop_map(|length| Value::from("x".repeat(length))),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec((".{0,9}", inner), 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn odd_claims_open_nothing(session in odd(), user in odd(), only in odd(), preview in odd(), iat in odd()) {
            let good = |claim: &Value| claim.as_str().is_some_and(|text| (1..=128).contains(&text.chars().count()));
            let claims = [("session", session), ("user", user), ("breakout", only), ("preview", preview), ("iat", iat)];
            let dark = audience(AudienceSpec { curtain_up: false, revoked_before: 50, ..AudienceSpec::default() });
            for (at, (name, value)) in claims.iter().enumerate() {
                // Each alone, so that none hides behind another.
                let alone = read(&claims[at..=at]);
                match *name {
                    "preview" => prop_assert_eq!(alone.unwrap().preview, *value == json!(true)),
                    "iat" => prop_assert_eq!(alone.is_ok(), value.is_i64()),
                    _ => prop_assert_eq!(alone.is_ok(), good(value)),
                }
            }
            if let Ok(all) = read(&claims) {
                let may = all.preview && all.breakout.as_deref() == Some("b1") && all.issued.is_some_and(|at| at >= 50);
                prop_assert_eq!(dark.admits(Some(&all)).is_ok(), may);
            }
        }
    }
}
