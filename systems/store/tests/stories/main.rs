//! The same stories over every kind of store, with real servers, and what only NATS can do to us.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod files;
mod house;
mod outage;
mod stories;

/// One module a kind of store, one test a story: first those of payloads, then those of files.
macro_rules! over_every_store {
    ($payloads:tt, $files:tt $(,)?) => {
        over_every_store!(@ nats $payloads $files);
        over_every_store!(@ s3 $payloads $files);
        over_every_store!(@ file $payloads $files);
        over_every_store!(@ memory $payloads $files);
    };
    (@ $kind:ident [$($payload:ident),+ $(,)?] [$($file:ident),+ $(,)?]) => {
        mod $kind {
            $(
                #[tokio::test]
                async fn $payload() {
                    let house = crate::house::House::$kind().await;
                    crate::stories::$payload(&house.store).await;
                }
            )+
            $(
                #[tokio::test]
                async fn $file() {
                    let house = crate::house::House::$kind().await;
                    crate::files::$file(&house.files).await;
                }
            )+
        }
    };
}

over_every_store!(
    [
        what_was_put_is_read_back_whatever_its_size,
        putting_the_same_again_is_success,
        what_was_never_put_is_not_found,
        one_byte_over_the_limit_is_refused_and_the_limit_named,
        of_two_creators_at_once_one_creates_and_the_other_gets_the_winners_value,
        another_request_under_the_same_name_is_a_permanent_error,
        runs_and_namespaces_see_nothing_of_each_other,
        a_batch_document_is_for_every_run_of_its_namespace,
    ],
    [
        a_file_is_read_back_and_listed_in_its_folder_whatever_its_name,
        putting_the_same_file_again_is_success_and_another_under_its_path_is_refused_with_both_hashes,
        of_writers_at_once_of_one_path_one_wins_and_no_reader_sees_a_mixture,
        what_is_no_path_or_too_large_is_refused_before_anything_is_written,
    ],
);
