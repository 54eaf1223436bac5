//! Certificates that are listed in a folder, one file each.

use super::Edge;
use crate::harness::until;

#[tokio::test]
async fn a_file_that_comes_is_a_certificate_and_a_mistake_changes_nothing() {
    let Some(edge) = Edge::new().await else {
        return;
    };
    let folder = edge.folder.path().join("certdefs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a"), "# ours\na.example.org\nwww.example.org\n").unwrap();
    let proxy = edge
        .proxy(&format!("certdefs = \"{}\"", folder.display()))
        .await;
    edge.is_trusted("www.example.org").await;
    std::fs::write(folder.join("b"), "b.example.org\n").unwrap();
    edge.is_trusted("b.example.org").await;
    let ordered = r#"tidegate_acme_orders_total{issuer="ca",result="ok"}"#;
    assert_eq!(proxy.metric(ordered).await, 2.0);

    std::fs::write(folder.join("c"), "c.example.org\nno name\n").unwrap();
    let refused = "the certificate definitions are not taken over, the old ones stay";
    let line = proxy.log_line(refused, |line| line.says(refused)).await;
    let error = line.field("error").unwrap();
    let place = folder.join("c").display().to_string();
    assert!(
        error.contains(&format!("{place}:2: `no name` is not a DNS name")),
        "{error}"
    );
    assert!(edge.seen("b.example.org", &edge.root()).await.is_some());

    std::fs::remove_file(folder.join("c")).unwrap();
    std::fs::remove_file(folder.join("b")).unwrap();
    let root = edge.root();
    until(
        "a certificate that nobody wants any more to be gone",
        async || {
            edge.seen("b.example.org", &root)
                .await
                .is_none()
                .then_some(())
        },
    )
    .await;
    assert!(edge.seen("a.example.org", &root).await.is_some());
}
