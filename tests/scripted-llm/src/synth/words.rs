//! The words of an answer: ids, names and sentences about the events of the prompt, chosen by the property's name.

use super::{Place, Synth};
use crate::facts::{Event, slug};

impl Synth<'_> {
    pub(super) fn word_or_sentence(&self, place: &Place<'_>) -> String {
        let name = place.name.to_lowercase();
        let facts = self.source.facts;
        match name.as_str() {
            "key" => facts.keys.get(place.index).cloned().unwrap_or_else(|| self.unique(place)),
            "id" => self.unique(place),
            "type" | "kind" | "category" => self.event(place).map_or_else(|| "general".to_owned(), |event| event.kind.clone()),
            "quote" | "event" | "eventid" | "event_id" | "eventids" | "events" | "evidence" | "sources" => {
                self.event(place).map_or_else(|| "the batch".to_owned(), |event| event.id.clone())
            }
            "name" | "owner" | "assignee" | "actor" | "person" | "recipient" | "repo" | "repository" => self.who(place),
            _ => self.sentence(place),
        }
    }

    /// An id no other entry of the same list has.
    fn unique(&self, place: &Place<'_>) -> String {
        match self.named(place.index) {
            Some((name, 0)) => name,
            Some((name, round)) => format!("{name}-{}", round + 1),
            None => format!("item-{}", place.index + 1),
        }
    }

    /// The person or repository the entry `index` of a list is named after, and how often the names were used before.
    fn named(&self, index: usize) -> Option<(String, usize)> {
        let names = self.source.facts.names();
        let round = index.checked_div(names.len())?;
        names.into_iter().nth(index.checked_rem(self.source.facts.names().len())?).map(|name| (name, round))
    }

    /// Whom the answer at `place` is about: the prompt's target, or what the entry of a list of targets is named after.
    fn subject(&self, place: &Place<'_>) -> Option<String> {
        let entry = || place.path.contains("/targets/").then(|| self.named(place.index)).flatten();
        self.source.facts.target.as_deref().map(slug).or_else(|| entry().map(|(name, _)| name))
    }

    /// The event an entry speaks of: one of its subject's, otherwise another one for each entry, all of them in turn.
    fn event(&self, place: &Place<'_>) -> Option<&Event> {
        let events = &self.source.facts.events;
        let about = |name: &Option<String>, subject: &str| name.as_deref().is_some_and(|name| slug(name) == subject);
        let of_subject = self
            .subject(place)
            .and_then(|subject| events.iter().find(|event| about(&event.actor, &subject) || about(&event.repo, &subject)));
        let first = self.pick("first event", events.len().max(1));
        of_subject.or_else(|| events.get((first + place.index).checked_rem(events.len())?))
    }

    pub(super) fn who(&self, place: &Place<'_>) -> String {
        let actor = || self.event(place).and_then(|event| event.actor.as_deref().or(event.repo.as_deref())).map(slug);
        self.subject(place).or_else(actor).unwrap_or_else(|| "team".to_owned())
    }

    pub(super) fn sentence(&self, place: &Place<'_>) -> String {
        let event = self.event(place);
        let (kind, id) = event.map_or(("activity", "the batch"), |event| (event.kind.as_str(), event.id.as_str()));
        let repo = event.and_then(|event| event.repo.as_deref()).unwrap_or("the project");
        let who = self.who(place);
        let count = self.source.facts.events.iter().filter(|event| event.kind == kind).count().max(1);
        let events = if count == 1 { format!("one {kind} event") } else { format!("{count} {kind} events") };
        let forms = match place.name.to_lowercase().as_str() {
            "title" | "headline" | "subject" => {
                vec![format!("{kind} in {repo}: a note for {who}"), format!("What {kind} in {repo} means for {who}")]
            }
            "action" | "recommendation" | "recommendations" | "suggestedfix" | "nextstep" | "step" | "steps" | "solution" => {
                vec![
                    format!("Ask {who} to look at {kind} in {repo}, starting with {id}."),
                    format!("Review {id} ({kind}) together with {who} before the next change in {repo}."),
                ]
            }
            "reason" | "why" | "rationale" | "rootcause" | "basis" => {
                vec![format!("{id} is the clearest sign among {events}."), format!("Supported by {id} ({kind}, {repo}).")]
            }
            "text" | "summary" | "insights" | "body" | "content" | "markdown" => return self.paragraph(place),
            _ => vec![
                format!("The batch holds {events}, among them {id} in {repo}; {who} took part."),
                format!("{who} is behind {id}, one of {events}."),
                format!("In {repo}, {kind} stands out: see {id} by {who}."),
            ],
        };
        forms.get(self.pick(&place.path, forms.len())).cloned().unwrap_or_default()
    }

    /// Three sentences on three events; on one, where there is a subject.
    fn paragraph(&self, place: &Place<'_>) -> String {
        let step = usize::from(self.subject(place).is_none());
        let part = |(offset, name): (usize, &'static str)| {
            let path = format!("{}#{offset}", place.path);
            self.sentence(&Place { path, name, index: place.index + offset * step, depth: place.depth })
        };
        ["finding", "reason", "action"].into_iter().enumerate().map(part).collect::<Vec<_>>().join(" ")
    }
}
