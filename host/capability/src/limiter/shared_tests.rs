//! Two clients of one Redis server, as two proxies are, share each limit.

use std::time::Duration;

use super::{Rate, Shared, Taken, Window};
use crate::redis::server::{Server, until};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;

/// The limiters of a plugin, in two proxies.
fn proxies(server: &Server) -> [Shared; 2] {
    [(), ()].map(|()| Shared::new(server.connect(), "plugin"))
}

/// Everything in Redis ends by itself.
async fn assert_nothing_stays(server: &Server) {
    let connection = server.connect();
    let keys: Vec<String> = connection
        .query(::redis::cmd("KEYS").arg("*"))
        .await
        .unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        assert!(key.starts_with("tidegate-limiter:plugin:"), "{key}");
        let left: i64 = connection
            .query(::redis::cmd("PTTL").arg(&key))
            .await
            .unwrap();
        assert!(left > 0, "{key} stays");
    }
}

#[tokio::test]
async fn a_bucket_is_shared() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, two] = proxies(&server);
    let rate = Rate::new(1, HOUR, 3).unwrap();
    let take = async |proxy: &Shared, cost| proxy.take(b"k", &rate, cost).await.unwrap();
    let Taken {
        allowed, remaining, ..
    } = take(&one, 2).await.unwrap();
    assert_eq!((allowed, remaining), (true, 1));
    let taken = take(&two, 1).await.unwrap();
    assert_eq!((taken.allowed, taken.remaining), (true, 0));
    assert!((2 * HOUR..=3 * HOUR).contains(&taken.full_after));
    let refused = take(&one, 2).await.unwrap();
    assert_eq!((refused.allowed, refused.remaining), (false, 0));
    assert!((HOUR..=2 * HOUR).contains(&refused.retry_after));
    assert_eq!(take(&one, 4).await, None);
    let other = one.take(b"other", &rate, 3).await.unwrap().unwrap();
    assert!(other.allowed);
    let stranger = Shared::new(server.connect(), "stranger");
    assert!(take(&stranger, 3).await.unwrap().allowed);
    server
        .connect()
        .query::<u64>(::redis::cmd("DEL").arg("tidegate-limiter:stranger:bucket:k"))
        .await
        .unwrap();
    assert_nothing_stays(&server).await;
}

#[tokio::test]
async fn a_bucket_fills_again_and_fractions_are_not_lost() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, _] = proxies(&server);
    let rate = Rate::new(1_000, SECOND, 1).unwrap();
    assert!(one.take(b"k", &rate, 1).await.unwrap().unwrap().allowed);
    let again = async || {
        let taken = one.take(b"k", &rate, 1).await.unwrap().unwrap();
        taken.allowed.then_some(())
    };
    until("the bucket fills", again).await;
    // A third of a token has no exact decimal form.
    let thirds = Rate::new(3, 10 * HOUR, 3).unwrap();
    for left in [2, 1, 0] {
        let taken = one.take(b"t", &thirds, 1).await.unwrap().unwrap();
        assert_eq!((taken.allowed, taken.remaining), (true, left));
    }
}

#[tokio::test]
async fn a_window_is_shared() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, two] = proxies(&server);
    let window = Window::new(5, 100 * 24 * HOUR).unwrap();
    let take = async |proxy: &Shared, cost| proxy.take_window(b"k", &window, cost).await.unwrap();
    let taken = take(&one, 3).await.unwrap();
    assert_eq!((taken.allowed, taken.remaining), (true, 2));
    let refused = take(&two, 3).await.unwrap();
    assert_eq!((refused.allowed, refused.remaining), (false, 2));
    assert!(refused.retry_after > 0 && refused.retry_after < 200 * 24 * HOUR);
    assert!(take(&two, 2).await.unwrap().allowed);
    assert!(!take(&one, 1).await.unwrap().allowed);
    assert_eq!(take(&one, 6).await, None);
    assert_nothing_stays(&server).await;
}

#[tokio::test]
async fn a_window_slides() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, two] = proxies(&server);
    let window = Window::new(2, SECOND / 20).unwrap();
    let take = async |proxy: &Shared| {
        let taken = proxy.take_window(b"k", &window, 2).await.unwrap();
        taken.unwrap().allowed
    };
    assert!(take(&one).await);
    until("the window passes", async || take(&two).await.then_some(())).await;
}

#[tokio::test]
async fn leases_are_shared_and_come_back() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, two] = proxies(&server);
    let minute = Duration::from_secs(60);
    let acquire = async |proxy: &Shared, ttl| proxy.acquire(b"k", 2, ttl).await.unwrap();
    let first = acquire(&one, minute).await.unwrap();
    let second = acquire(&two, minute).await.unwrap();
    assert!(acquire(&one, minute).await.is_none());
    drop(first);
    let third = until("the place comes back", async || acquire(&two, minute).await).await;
    assert_nothing_stays(&server).await;
    drop((second, third));

    // A holder that is gone without a word: its time ends the lease.
    let brief = Duration::from_millis(20);
    let held = [(); 2].map(|()| one.acquire(b"brief", 2, brief));
    for lease in held {
        std::mem::forget(lease.await.unwrap().unwrap());
    }
    let again = async || two.acquire(b"brief", 2, minute).await.unwrap();
    drop(until("the lease ends", again).await);
}

#[tokio::test]
async fn a_lease_for_a_caller_who_gave_up_comes_back() {
    let Some(server) = Server::start().await else {
        return;
    };
    let [one, two] = proxies(&server);
    let minute = Duration::from_secs(60);
    // Connected, and the script known, so that the first poll sends it.
    drop(one.acquire(b"warm", 1, minute).await.unwrap());
    {
        let mut given_up = std::pin::pin!(one.acquire(b"k", 1, minute));
        let polled = poll_once(given_up.as_mut()).await;
        assert!(polled.is_none());
    }
    let free = async || two.acquire(b"k", 1, minute).await.unwrap();
    drop(until("the place comes back", free).await);
}

/// Polls once.
async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
