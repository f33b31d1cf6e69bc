//! Charges and prices, as the API shows them. Sums are of whole millionths of the currency.

use std::collections::BTreeMap;

use anabranch_db::{ChargeRow, SubjectRow};

use super::span::Span;
use super::{
    BreakoutCharges, Charges, ChargesBy, ChargesCollect, ChargesItem, ChargesQuery, ChargesTotal, Collected, Price,
    PriceTable, ServiceCharge, SessionCharges,
};
use crate::app::{App, Error};
use crate::billing::charge::{Part, Parts, decimal};
use crate::billing::prices::Money;
use crate::billing::{Scope, collect};
use crate::time;

/// By what a charge was made: sums are of one currency, and told by the model that was in force.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Terms {
    currency: String,
    model: String,
}

impl Terms {
    fn of(row: &ChargeRow) -> Self {
        Self { currency: row.currency.clone(), model: row.model.clone() }
    }
}

/// Amounts by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amounts {
    estimate: i64,
    settled: i64,
    corrections: i64,
    alternative: i64,
}

impl Amounts {
    fn add(&mut self, row: &ChargeRow) {
        let sum = match row.state.as_str() {
            "estimate" => &mut self.estimate,
            "correction" => &mut self.corrections,
            _ => &mut self.settled,
        };
        *sum = sum.saturating_add(row.amount);
        self.alternative = self.alternative.saturating_add(row.alternative);
    }

    fn total(&self) -> i64 {
        self.estimate.saturating_add(self.settled).saturating_add(self.corrections)
    }
}

impl App {
    pub(crate) async fn charges(&self, query: &ChargesQuery) -> Result<Charges, Error> {
        let (from_ms, to_ms) = self.months(query)?;
        let wanted = match &query.breakout {
            Some(breakout) => self.subject_named(breakout).await?,
            None => String::new(),
        };
        let rows = self.db.charges(&wanted, from_ms, to_ms).await?;
        let subjects = self.db.subjects(&wanted, 0, i64::MAX).await?;
        let names = self.db.names().await?;
        let terms = self.terms();
        let all = sum(rows.iter().filter(|row| row.currency == terms.currency));
        let items = group(query.by, &rows, &subjects, &names);
        Ok(Charges {
            from: time::render_seconds(from_ms.div_euclid(1000)),
            to: time::render_seconds(to_ms.div_euclid(1000)),
            by: query.by,
            currency: terms.currency,
            model: terms.model,
            items,
            total: decimal(all.total()),
            alternative: decimal(all.alternative),
            totals: totals(&rows),
        })
    }

    /// By what charges are made now.
    fn terms(&self) -> Terms {
        let prices = &self.config.prices;
        Terms { currency: prices.currency.clone(), model: prices.model.as_str().to_owned() }
    }

    fn months(&self, query: &ChargesQuery) -> Result<(i64, i64), Error> {
        let now_ms = self.clock.now_ms();
        let (from, to) = (query.from.as_deref(), query.to.as_deref());
        if let Some(month) = Span::month(query.month.as_deref(), from, to)? {
            return Ok(month.ms());
        }
        if from.is_none() && to.is_none() {
            let (_, begins, ends) = time::month(now_ms);
            return Ok((begins, ends));
        }
        Ok(Span::of(from, to, 30 * 86_400, now_ms)?.ms())
    }

    pub(crate) async fn breakout_charges(&self, wanted: &str) -> Result<BreakoutCharges, Error> {
        let id = self.subject_named(wanted).await?;
        let rows = self.db.charges(&id, 0, i64::MAX).await?;
        let subjects = self.db.subjects(&id, 0, i64::MAX).await?;
        let terms = self.terms();
        let all = sum(rows.iter().filter(|row| row.currency == terms.currency));
        let sessions = subjects.iter().flat_map(|subject| of_session(subject, &rows, &terms)).collect();
        let name = match self.db.breakout_find(&id).await {
            Ok(row) => row.content.name,
            Err(_) => subjects.last().map_or_else(|| id.clone(), |row| row.name.clone()),
        };
        Ok(BreakoutCharges {
            breakout: id,
            name,
            currency: terms.currency,
            model: terms.model,
            sessions,
            total: decimal(all.total()),
            alternative: decimal(all.alternative),
            totals: totals(&rows),
        })
    }

    pub(crate) async fn charges_collect(&self, wanted: &ChargesCollect) -> Result<Collected, Error> {
        let scope = match &wanted.breakout {
            Some(breakout) => Scope::Of(self.subject_named(breakout).await?),
            None => Scope::Whole,
        };
        let done = collect(self, &scope).await?;
        Ok(Collected { collected: done.collected, changed: done.changed })
    }

    pub(crate) fn prices(&self) -> PriceTable {
        let prices = &self.config.prices;
        let item = |item: crate::billing::prices::Item| Price {
            model: item.model.as_str().to_owned(),
            service: item.service.to_owned(),
            key: item.key.to_owned(),
            what: item.what.to_owned(),
            unit: item.unit.to_owned(),
            price: item.price.to_string(),
            source: item.source.to_owned(),
        };
        PriceTable {
            currency: prices.currency.clone(),
            model: prices.model.as_str().to_owned(),
            items: prices.items().into_iter().map(item).collect(),
        }
    }
}

/// The sum of charges of one currency.
fn sum<'r>(rows: impl IntoIterator<Item = &'r ChargeRow>) -> Amounts {
    let mut sum = Amounts::default();
    rows.into_iter().for_each(|row| sum.add(row));
    sum
}

/// The sum of all, by what they were charged by.
fn totals(rows: &[ChargeRow]) -> Vec<ChargesTotal> {
    let mut sums: BTreeMap<Terms, Amounts> = BTreeMap::new();
    rows.iter().for_each(|row| sums.entry(Terms::of(row)).or_default().add(row));
    let total = |(terms, sum): (Terms, Amounts)| ChargesTotal {
        currency: terms.currency,
        model: terms.model,
        total: decimal(sum.total()),
        alternative: decimal(sum.alternative),
    };
    sums.into_iter().map(total).collect()
}

fn group(
    by: ChargesBy,
    rows: &[ChargeRow],
    subjects: &[SubjectRow],
    names: &BTreeMap<String, String>,
) -> Vec<ChargesItem> {
    let owners: BTreeMap<(&str, u32), &SubjectRow> =
        subjects.iter().map(|row| ((row.subject.as_str(), row.session), row)).collect();
    let mut groups: BTreeMap<(String, String, Terms), Vec<&ChargeRow>> = BTreeMap::new();
    for row in rows {
        let owner = owners.get(&(row.subject.as_str(), row.session));
        let (kind, key) = match by {
            ChargesBy::Breakout => (row.kind.clone(), row.subject.clone()),
            ChargesBy::Service => ("service".to_owned(), row.service.clone()),
            ChargesBy::Event => ("event".to_owned(), owner.map_or_else(String::new, |owner| owner.event.clone())),
            ChargesBy::Account => ("account".to_owned(), owner.map_or_else(String::new, |owner| owner.account.clone())),
            ChargesBy::Platform => ("platform".to_owned(), "platform".to_owned()),
        };
        groups.entry((kind, key, Terms::of(row))).or_default().push(row);
    }
    let mut items: Vec<(i64, ChargesItem)> = Vec::with_capacity(groups.len());
    for ((kind, key, terms), rows) in groups {
        let sum = sum(rows.iter().copied());
        let own = subjects.iter().rev().find(|row| row.subject == key && by == ChargesBy::Breakout);
        let name = own.map(|row| &row.name).or_else(|| names.get(&key)).unwrap_or(&key).clone();
        items.push((
            sum.total(),
            ChargesItem {
                key,
                name,
                kind,
                currency: terms.currency,
                model: terms.model,
                estimate: decimal(sum.estimate),
                settled: decimal(sum.settled),
                corrections: decimal(sum.corrections),
                total: decimal(sum.total()),
                alternative: decimal(sum.alternative),
                services: services(&rows, by == ChargesBy::Breakout),
            },
        ));
    }
    items.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.key.cmp(&b.1.key)));
    items.into_iter().map(|(_, item)| item).collect()
}

/// Each charge by its parts, or those of many put together.
fn services(rows: &[&ChargeRow], each: bool) -> Vec<ServiceCharge> {
    if each {
        return rows.iter().flat_map(|row| parts(row)).collect();
    }
    // By service and state, since prices may differ from row to row.
    let mut sums: BTreeMap<(&str, &str), (i64, i64)> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry((&row.service, &row.state)).or_default();
        *sum = (sum.0.saturating_add(row.amount), sum.1.max(row.written_at));
    }
    sums.into_iter()
        .map(|((service, state), (amount, at))| ServiceCharge {
            service: service.to_owned(),
            component: String::new(),
            session: 0,
            month: None,
            quantity: "1".to_owned(),
            unit: "sum".to_owned(),
            unit_price: decimal(amount),
            amount: decimal(amount),
            arithmetic: None,
            rule: None,
            price_key: None,
            price_source: None,
            state: state.to_owned(),
            at: time::render_ms(at),
        })
        .collect()
}

/// A charge by its parts. A correction is shown as what it makes of the whole.
fn parts(row: &ChargeRow) -> Vec<ServiceCharge> {
    let parts: Parts = serde_json::from_str(&row.parts).unwrap_or_default();
    let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let charge = ServiceCharge {
        service: row.service.clone(),
        component: "correction".to_owned(),
        session: row.session,
        month: told(&row.month),
        quantity: "1".to_owned(),
        unit: "sum".to_owned(),
        unit_price: decimal(row.amount),
        amount: decimal(row.amount),
        arithmetic: None,
        rule: Some("what all of it comes to, less what was charged before, by the prices of then".to_owned()),
        price_key: None,
        price_source: None,
        state: row.state.clone(),
        at: time::render_ms(row.written_at),
    };
    if row.state == "correction" {
        return vec![charge];
    }
    let shown = |part: &Part| ServiceCharge {
        component: part.what.clone(),
        quantity: part.units(),
        unit: part.unit.clone(),
        unit_price: Money(part.price).to_string(),
        amount: decimal(part.amount()),
        arithmetic: Some(part.arithmetic()),
        rule: told(&part.rule),
        price_key: told(&part.key),
        price_source: told(&part.source),
        ..charge.clone()
    };
    parts.of(&row.model).iter().map(shown).collect()
}

/// A session, once for each currency and model that it was charged by; by those of now if it has no charge.
fn of_session(subject: &SubjectRow, rows: &[ChargeRow], now: &Terms) -> Vec<SessionCharges> {
    let mut own: BTreeMap<Terms, Vec<&ChargeRow>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.session == subject.session) {
        own.entry(Terms::of(row)).or_default().push(row);
    }
    if own.is_empty() {
        own.insert(now.clone(), Vec::new());
    }
    own.into_iter().map(|(terms, rows)| session(subject, terms, &rows)).collect()
}

fn session(subject: &SubjectRow, terms: Terms, own: &[&ChargeRow]) -> SessionCharges {
    let sum = sum(own.iter().copied());
    let waiting_for = match (subject.ended_at, subject.settled_at) {
        (None, _) => Some("it is on air".to_owned()),
        (Some(_), None) => Some("every edge to tell of all that it has sent".to_owned()),
        (Some(_), Some(_)) if sum.estimate != 0 => Some("the end of the month".to_owned()),
        (Some(_), Some(_)) => None,
    };
    SessionCharges {
        session: subject.session,
        currency: terms.currency,
        model: terms.model,
        started_at: Some(time::render_ms(subject.started_at)),
        ended_at: subject.ended_at.map(time::render_ms),
        estimate: decimal(sum.estimate),
        settled: decimal(sum.settled),
        corrections: decimal(sum.corrections),
        total: decimal(sum.total()),
        waiting_for,
        services: services(own, true),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> i64 {
        let (whole, fraction) = text.split_once('.').unwrap();
        let value: i64 = format!("{}{fraction:0<6}", whole.trim_start_matches('-')).parse().unwrap();
        if text.starts_with('-') { -value } else { value }
    }

    fn row(subject: u8, session: u32, service: u8, entry: u32, amount: i64) -> ChargeRow {
        ChargeRow {
            kind: "breakout".to_owned(),
            subject: format!("b{subject}"),
            session,
            service: format!("service {service}"),
            month: String::new(),
            entry,
            state: ["estimate", "final", "correction"][usize::from(service % 3)].to_owned(),
            model: "cloud".to_owned(),
            currency: "USD".to_owned(),
            amount,
            alternative: -amount,
            parts: String::new(),
            charged_at: 0,
            written_at: 0,
        }
    }

    fn subject(number: u8, session: u32) -> SubjectRow {
        SubjectRow {
            kind: "breakout".to_owned(),
            subject: format!("b{number}"),
            session,
            name: format!("breakout {number}"),
            event: if number.is_multiple_of(2) { String::new() } else { format!("v{}", number % 3) },
            account: if number.is_multiple_of(2) { String::new() } else { "a1".to_owned() },
            started_at: 0,
            ended_at: None,
            inputs: 1,
            bytes: 0,
            mp4_bytes: 0,
            objects: 0,
            duration_ms: 0,
            renditions: 1,
            conversions: 0,
            converted_at: None,
            kept_from: None,
            kept_until: None,
            viewers: 0,
            viewer_ms: 0,
            peak_viewers: 0,
            settled_at: None,
        }
    }

    #[test]
    fn what_was_charged_by_other_terms_is_a_sum_of_its_own() {
        let franc = |amount, model: &str| ChargeRow {
            currency: "CHF".to_owned(),
            model: model.to_owned(),
            ..row(1, 1, 1, 0, amount)
        };
        let rows = [row(1, 1, 1, 0, 5_000_000), franc(7_000_000, "cloud"), franc(2_000_000, "own")];
        let subjects = [subject(1, 1)];
        for by in [ChargesBy::Breakout, ChargesBy::Service, ChargesBy::Event, ChargesBy::Account, ChargesBy::Platform] {
            let items = group(by, &rows, &subjects, &BTreeMap::new());
            let mut sums: Vec<_> =
                items.iter().map(|item| (item.currency.as_str(), item.model.as_str(), item.total.as_str())).collect();
            sums.sort_unstable();
            assert_eq!(sums, [("CHF", "cloud", "7.00"), ("CHF", "own", "2.00"), ("USD", "cloud", "5.00")]);
        }
        let totals = totals(&rows);
        let totals: Vec<_> = totals.iter().map(|sum| (sum.currency.as_str(), sum.total.as_str())).collect();
        assert_eq!(totals, [("CHF", "7.00"), ("CHF", "2.00"), ("USD", "5.00")]);
        let now = Terms { currency: "EUR".to_owned(), model: "cloud".to_owned() };
        let sessions = of_session(&subjects[0], &rows, &now);
        assert_eq!(sessions.iter().map(|one| one.total.as_str()).collect::<Vec<_>>(), ["7.00", "2.00", "5.00"]);
        assert_eq!(of_session(&subject(2, 3), &rows, &now)[0].currency, "EUR");
    }

    proptest! {
        #[test]
        fn the_sum_is_the_same_whatever_it_is_summed_by(
            charges in prop::collection::vec((0_u8..6, 1_u32..3, 0_u8..5, 0_u32..3, -9_000_000_000_i64..9_000_000_000), 0..40),
        ) {
            let rows: Vec<_> = charges.iter().map(|(who, session, service, entry, amount)| row(*who, *session, *service, *entry, *amount)).collect();
            // Of some nothing is known any more.
            let subjects: Vec<_> = (0..5).flat_map(|who| [subject(who, 1), subject(who, 2)]).collect();
            let all: i64 = rows.iter().map(|row| row.amount).sum();
            for by in [ChargesBy::Breakout, ChargesBy::Service, ChargesBy::Event, ChargesBy::Account, ChargesBy::Platform] {
                let items = group(by, &rows, &subjects, &BTreeMap::new());
                prop_assert_eq!(items.iter().map(|item| micros(&item.total)).sum::<i64>(), all);
                prop_assert_eq!(items.iter().map(|item| micros(&item.alternative)).sum::<i64>(), -all);
                for item in &items {
                    let parts = [&item.estimate, &item.settled, &item.corrections];
                    prop_assert_eq!(parts.map(|part| micros(part)).iter().sum::<i64>(), micros(&item.total));
                }
            }
        }
    }
}
