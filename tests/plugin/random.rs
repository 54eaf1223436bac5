//! Random numbers for plugins.

use serde_json::json;

use super::calls::call;
use super::grants::{EVERYTHING, config};
use super::support::start_with;

#[tokio::test]
async fn bytes_come_as_asked_up_to_a_bound_and_never_the_same() {
    let file = ("all.wasm", super::support::guest("all"));
    let proxy = start_with(&[file], &config(EVERYTHING)).await;
    let mut numbers = std::collections::HashSet::new();
    for (asked, given) in [(0, 0), (1, 1), (65_536, 65_536), (70_000, 65_536)] {
        let said = call(&proxy, &json!({ "random": asked })).await.unwrap();
        let said: Vec<u64> = said.split(' ').map(|word| word.parse().unwrap()).collect();
        let [count, distinct, number] = said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(count, given, "{asked}");
        // That one of 256 values is missing in so many bytes has a chance of 1 in 10^108.
        assert_eq!(distinct, given.min(256), "{asked}");
        assert!(numbers.insert(number), "{number} twice");
    }
}
