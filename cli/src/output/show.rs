//! A document as people read it.

use crate::{table::Table, tree::one_line};
use anyhow::Context;
use serde_json::Value;
use trackway_crds::contracts::{BroadcastOutput, Delivery, DeliveryPhase, NameKind, StageInput, StoredVerdict};

/// Texts as text, everything else as JSON.
pub(super) fn for_people(kind: NameKind, document: &Value) -> anyhow::Result<String> {
    let json = || serde_json::to_string_pretty(document).map(|text| text + "\n").context("cannot write JSON");
    match kind {
        NameKind::Output => match document.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("text")) {
            Some(Value::String(text)) => Ok(harmless(text)),
            _ => {
                serde_json::from_value::<BroadcastOutput>(document.clone()).map_or_else(|_| json(), |sent| Ok(deliveries(&sent)))
            }
        },
        NameKind::Input => {
            // One of another version is shown as it is.
            let Ok(input) = serde_json::from_value::<StageInput>(document.clone()) else { return json() };
            let system = input.system.map(|system| format!("--- system\n{}", harmless(&system))).unwrap_or_default();
            Ok(format!("{system}--- user\n{}", harmless(&input.user)))
        }
        NameKind::Verdict => {
            let Ok(verdict) = serde_json::from_value::<StoredVerdict>(document.clone()) else { return json() };
            let dimensions =
                verdict.dimensions.iter().map(|one| format!("{}  {}: {}\n", one.score, one.name, harmless(&one.why).trim_end()));
            let dimensions: String = dimensions.collect();
            Ok(format!("{}  overall\n{dimensions}\n{}", verdict.score, harmless(&verdict.feedback)))
        }
        NameKind::Record | NameKind::Delivery => json(),
    }
}

fn outcome(phase: DeliveryPhase) -> &'static str {
    match phase {
        DeliveryPhase::Delivered => "Delivered",
        DeliveryPhase::Refused => "Refused",
        DeliveryPhase::Withheld => "Withheld",
        DeliveryPhase::DryRun => "DryRun",
    }
}

/// A model's text with a line end, and without what could control a terminal.
fn harmless(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// One line for each notice on each channel, and how many came to what.
fn deliveries(sent: &BroadcastOutput) -> String {
    const HEADINGS: [&str; 6] = ["CHANNEL", "KEY", "OUTCOME", "STATUS", "ID", "REASON"];
    let row = |one: &Delivery| {
        [
            one_line(&one.channel),
            one_line(&one.key),
            outcome(one.phase).to_owned(),
            one.status.map(|status| status.to_string()).unwrap_or_default(),
            one.id.clone(),
            one.reason.as_deref().map(one_line).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = std::iter::once(HEADINGS.map(str::to_owned)).chain(sent.deliveries.iter().map(row)).collect();
    let mut table = Table::new(&HEADINGS);
    rows.iter().for_each(|row| table.fit(row));
    let rows: String = rows.iter().map(|row| table.row(row)).collect();
    let counts = &sent.counts;
    let dry_run = if counts.dry_run > 0 { format!(", {} not sent (dry run)", counts.dry_run) } else { String::new() };
    format!("{rows}\n{} sent, {} withheld, {} refused{dry_run}\n", counts.delivered, counts.withheld, counts.refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_broadcast_is_a_table_for_people() {
        let delivery = |key: &str, phase: &str, status: Option<u16>, reason: Option<&str>| {
            json!({"channel": "inbox", "key": key, "id": format!("id-{key}"), "phase": phase, "status": status, "reason": reason,
                "at": "2026-11-22T14:00:00Z"})
        };
        let output = json!({
            "deliveries": [
                delivery("atom", "Delivered", Some(202), None),
                delivery("docs", "Withheld", None, Some("says what\natom says")),
                delivery("hello-world", "Refused", Some(410), Some("gone")),
            ],
            "counts": {"delivered": 1, "refused": 1, "withheld": 1, "dryRun": 0},
        });
        let expected = "\
CHANNEL   KEY           OUTCOME     STATUS   ID               REASON
inbox     atom          Delivered   202      id-atom
inbox     docs          Withheld             id-docs          says what atom says
inbox     hello-world   Refused     410      id-hello-world   gone

1 sent, 1 withheld, 1 refused
";
        assert_eq!(for_people(NameKind::Output, &output).unwrap(), expected);
    }
}
