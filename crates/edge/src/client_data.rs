//! What a player tells of its playback in the query (CTA-5004, `CMCD`).

use std::borrow::Cow;

use anabranch_model::{Behavior, Selection};

/// The parameter that players add to what they ask for.
pub(crate) const CLIENT_DATA: &str = "CMCD";

/// The query without what a player tells: it differs with each request, and nobody signs it.
pub(crate) fn strip(query: &str) -> Cow<'_, str> {
    if !query.contains(CLIENT_DATA) {
        return query.into();
    }
    let mut own = query.split('&').filter(|parameter| !is_client_data(parameter)).peekable();
    match (own.next(), own.peek()) {
        (None, _) => "".into(),
        (Some(only), None) => only.into(),
        (Some(first), Some(_)) => own.fold(first.to_owned(), |text, parameter| text + "&" + parameter).into(),
    }
}

/// Whether a policy of the behavior asks for it by its name. `All` does not mean it: a cache would keep nothing.
pub(crate) fn is_named(behavior: &Behavior) -> bool {
    let named = |selection: &Selection| matches!(selection, Selection::Only(names) if names.iter().any(|name| name == CLIENT_DATA));
    named(&behavior.cache.query) || named(&behavior.origin_request.query)
}

fn is_client_data(parameter: &str) -> bool {
    parameter.split('=').next() == Some(CLIENT_DATA)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::strip;

    #[test]
    fn only_what_players_tell_goes() {
        for (query, own) in [
            ("", ""),
            ("a=1&b", "a=1&b"),
            ("CMCD=br%3D1", ""),
            ("CMCD", ""),
            ("Signature=s&CMCD=bl%3D2%2Cmtp%3D3", "Signature=s"),
            ("a=1&CMCD=x&Policy=p&CMCD=y&b", "a=1&Policy=p&b"),
            ("CMCDx=1&xCMCD=2&cmcd=3&a=CMCD", "CMCDx=1&xCMCD=2&cmcd=3&a=CMCD"),
        ] {
            assert_eq!(strip(query), own, "{query}");
        }
    }

    proptest! {
        #[test]
        fn the_rest_stays_as_it_is(query in "((CMCD|a|Policy)(=|%|[a-z0-9]|é)*&?){0,8}") {
            let own: Vec<&str> = query.split('&').filter(|p| p.split('=').next() != Some("CMCD")).collect();
            prop_assert_eq!(strip(&query), own.join("&"));
        }
    }
}
