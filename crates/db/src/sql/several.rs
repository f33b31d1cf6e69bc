//! Values that one statement asks for together, for lists.

use super::query::Query;
use super::value::Value;

/// Values of one statement; more take several.
pub(crate) const SEVERAL: usize = 50;

/// Their placeholders, `$1` to `$50`, to be put between the brackets of an `IN`.
macro_rules! several {
    () => {
        "$1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
         $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50"
    };
}

pub(crate) use several;

impl Query {
    /// The values of those placeholders; [`SEVERAL`] at most.
    pub(crate) fn bind_several(self, values: &[&str]) -> Self {
        debug_assert!(values.len() <= SEVERAL, "more values than placeholders");
        // What is not there is equal to nothing.
        (0..SEVERAL).fold(self, |query, at| query.bind(Value::Text(values.get(at).map(|text| (*text).to_owned()))))
    }
}
