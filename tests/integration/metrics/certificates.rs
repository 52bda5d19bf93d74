//! The certificates of a gateway that speaks TLS: when they expire, and how often they
//! were replaced.

use kit::{
    Gateway,
    tls::{Authority, TlsFiles, VALID},
};

const EARLIER: [i32; 2] = [2020, 2110];

/// The first seconds of 2110 and 2120.
const IN_2110: &str = "4417977600.0";
const IN_2120: &str = "4733510400.0";

/// Returns the samples about certificates, without what their names have in common.
fn samples(gateway: &Gateway) -> Vec<String> {
    let page = gateway.metrics().render(false);
    let samples =
        page.lines().filter_map(|line| line.strip_prefix("gateway_tls_certificate_"));
    samples.map(str::to_owned).collect()
}

fn not_after(setting: &str, at: &str) -> String {
    format!("not_after_timestamp_seconds{{setting=\"{setting}\"}} {at}")
}

fn reloads(side: &str, result: &str, count: u64) -> String {
    format!("reloads_total{{side=\"{side}\",result=\"{result}\"}} {count}")
}

#[tokio::test]
async fn certificates_have_their_expiry_and_their_reloads() {
    assert_eq!(samples(&Gateway::on_sandbox().await), [""; 0]);

    let authority = Authority::new();
    let [first, second] =
        [VALID, EARLIER].map(|years| authority.issue(&[kit::HOST], years));
    let (own, upstream) =
        (TlsFiles::new(&first, &authority), TlsFiles::new(&first, &authority));
    let flags = [&own.flags()[..], &upstream.upstream()].concat();
    let gateway = Gateway::at("https://127.0.0.1:1", &flags).await;
    let expected = [
        not_after("tls-certificate-file", IN_2120),
        not_after("upstream-certificate-file", IN_2120),
        not_after("upstream-ca-file", IN_2120),
        reloads("listener", "changed", 0),
        reloads("listener", "failed", 0),
        reloads("upstream", "changed", 0),
        reloads("upstream", "failed", 0),
    ];
    let before = samples(&gateway);
    assert_eq!(before.len(), expected.len(), "{before:?}");
    for line in expected.iter().filter(|line| !line.contains("-ca-")) {
        assert!(before.contains(line), "{line}: {before:?}");
    }

    // Of the certificates of a file, the one that expires first counts.
    let chain = format!("{}{}", second.certificate, authority.pem());
    own.put_contents([&chain, &second.key, &authority.pem()]);
    upstream.put_contents([&first.certificate, &second.key, &authority.pem()]);
    gateway.reload().await;
    let after = samples(&gateway);
    for line in [
        not_after("tls-certificate-file", IN_2110),
        not_after("upstream-certificate-file", IN_2120),
        reloads("listener", "changed", 1),
        reloads("upstream", "changed", 0),
        reloads("upstream", "failed", 1),
    ] {
        assert!(after.contains(&line), "{line}: {after:?}");
    }
}
