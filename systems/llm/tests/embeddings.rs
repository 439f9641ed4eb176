//! Embeddings against the scripted server.

// clippy allows these in test functions, but not in the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use trackway_llm::{EmbeddingClient, EmbeddingModel, Endpoint, LlmError, RepeatPolicy, TransientReason};
use trackway_scripted_llm::{Rules, ScriptedLlm};

const KEY: &str = "sk-not-to-be-shown";

async fn story(rules: &str, dimensions: Option<usize>) -> (ScriptedLlm, EmbeddingClient) {
    let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(rules).unwrap()).await.unwrap();
    let endpoint = Endpoint { api_key: Some(KEY.into()), ..Endpoint::at(llm.base_url()) };
    let model = EmbeddingModel { endpoint, model: "embed-1".to_owned(), dimensions };
    (llm, EmbeddingClient::new(model).unwrap())
}

fn policy() -> RepeatPolicy {
    RepeatPolicy { first_wait: Duration::from_millis(1), ..RepeatPolicy::default() }
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("event number{n}")).collect()
}

#[tokio::test]
async fn many_texts_take_several_requests_and_keep_their_order() {
    let (llm, client) = story("", Some(32)).await;
    let texts = texts(150);
    let vectors = client.embed(&texts, &policy()).await.unwrap();
    assert_eq!((vectors.len(), llm.calls().len()), (150, 3));
    assert!(vectors.iter().all(|vector| vector.len() == 32));
    let alone = client.embed(&texts[140..141], &policy()).await.unwrap();
    assert_eq!(alone[0], vectors[140]);
    assert_eq!(client.embed(&[], &policy()).await.unwrap(), Vec::<Vec<f32>>::new());
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_is_permanent() {
    let (llm, client) = story("- {name: busy, when: {kind: embed}, then: {status: 429, retryAfter: 0}, times: 2}", None).await;
    assert_eq!(client.embed(&texts(1), &policy()).await.unwrap()[0].len(), 64);
    assert_eq!(llm.calls().len(), 3);

    llm.set_rules(&Rules::from_yaml("- {name: unknown, when: {kind: embed}, then: {status: 404}}").unwrap());
    let error = client.embed(&texts(1), &policy()).await.unwrap_err();
    assert_eq!((error.is_transient(), error.reason()), (false, "NotFound"));
    assert!(error.to_string().contains("/v1/embeddings (model embed-1) answered 404"), "{error}");
}

#[tokio::test]
async fn waits_end_with_the_policy() {
    let (_llm, client) = story("- {name: busy, when: {kind: embed}, then: {status: 503, retryAfter: 30}}", None).await;
    let policy = RepeatPolicy { max_total_wait: Duration::from_secs(2), ..policy() };
    match client.embed(&texts(1), &policy).await {
        Err(LlmError::Transient(error)) => {
            assert_eq!((error.reason, error.retry_after), (TransientReason::ServerError, Some(Duration::from_secs(30))));
            assert!(!error.to_string().contains(KEY) && !format!("{client:?}").contains(KEY));
        }
        other => panic!("expected a transient error, got {other:?}"),
    }
}
