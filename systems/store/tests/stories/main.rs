//! The same stories over every kind of store, with real servers, and what only NATS can do to us.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod house;
mod outage;
mod stories;

/// One module a kind of store, one test a story.
macro_rules! over_every_store {
    ($($story:ident),+ $(,)?) => {
        over_every_store!(@ nats $($story)+);
        over_every_store!(@ s3 $($story)+);
        over_every_store!(@ file $($story)+);
        over_every_store!(@ memory $($story)+);
    };
    (@ $kind:ident $($story:ident)+) => {
        mod $kind {
            $(
                #[tokio::test]
                async fn $story() {
                    let house = crate::house::House::$kind().await;
                    crate::stories::$story(&house.store).await;
                }
            )+
        }
    };
}

over_every_store!(
    what_was_put_is_read_back_whatever_its_size,
    putting_the_same_again_is_success,
    what_was_never_put_is_not_found,
    one_byte_over_the_limit_is_refused_and_the_limit_named,
    of_two_creators_at_once_one_creates_and_the_other_gets_the_winners_value,
    another_request_under_the_same_name_is_a_permanent_error,
    runs_and_namespaces_see_nothing_of_each_other,
    a_batch_document_is_for_every_run_of_its_namespace,
);
