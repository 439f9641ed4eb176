//! Scoring an output: the model answers, our code decides what counts.

use serde_json::json;
use trackway_crds::{
    contracts::{BatchDocument, CONTRACT, ErrorClass, NameKind, Reference, ResolvedJudge, StoredVerdict},
    names::sha256_hex,
};
use trackway_prompt::Rendered;

use crate::{
    Use,
    calls::Calls,
    failure::Step,
    instructions::{JUDGE_INSTRUCTION, judge_messages},
    report::Report,
    rubric::{read_verdict, rubric_sha256, verdict_schema},
    stored::Stored,
};

/// An output to be judged.
pub(crate) struct Judged<'a> {
    pub(crate) judge: &'a ResolvedJudge,
    /// What its writer was asked.
    pub(crate) asked: &'a Rendered,
    pub(crate) batch: (&'a BatchDocument, &'a Reference),
    pub(crate) output: (&'a serde_json::Value, &'a Reference),
}

impl Judged<'_> {
    /// The verdict of this attempt: the one that is stored, or a new one, stored under its write-once name.
    pub(crate) async fn verdict(
        &self,
        stored: &Stored<'_>,
        calls: &Calls<'_>,
        report: &mut Report,
    ) -> Step<(StoredVerdict, Reference)> {
        let hash = self.request_hash();
        if let Some(reference) = stored.left(NameKind::Verdict, &hash).await? {
            tracing::info!("adopting the stored verdict");
            return Ok((stored.read("the stored verdict", &reference).await?, reference));
        }
        let verdict = self.judge(calls, report).await?;
        let reference = stored.put_json("the verdict", &verdict).await?;
        let named = stored.claim(NameKind::Verdict, reference.clone(), Some(&hash)).await?;
        if named == reference {
            return Ok((verdict, reference));
        }
        tracing::info!("another pod's verdict came first; adopting it");
        Ok((stored.read("the stored verdict", &named).await?, named))
    }

    async fn judge(&self, calls: &Calls<'_>, report: &mut Report) -> Step<StoredVerdict> {
        let Self { judge, asked, batch, output } = self;
        let messages = judge_messages(judge, asked, *batch, *output);
        let question = (messages, verdict_schema(judge));
        let answer = calls.ask(Use::Judge, &judge.model, question, report, |reply| read_verdict(judge, reply)).await?;
        let taken = answer.map_err(|fault| fault.failure(ErrorClass::Judge))?;
        let scores = taken.answer;
        Ok(StoredVerdict {
            contract: CONTRACT,
            score: scores.overall,
            dimensions: scores.dimensions,
            feedback: scores.feedback,
            rubric_sha256: rubric_sha256(judge),
            instruction_sha256: sha256_hex(JUDGE_INSTRUCTION.as_bytes()),
            call: taken.call,
        })
    }

    fn request_hash(&self) -> String {
        let model = &self.judge.model;
        let request = json!({
            "instruction": JUDGE_INSTRUCTION, "rubric": self.judge.dimensions, "endpoint": model.endpoint, "model": model.model,
            "parameters": model.parameters, "output": self.output.1,
        });
        sha256_hex(request.to_string().as_bytes())
    }
}
