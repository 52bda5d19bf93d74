//! Clients with certificates that use the gateway's own key.

use kit::{
    Caller, Gateway, Protocol,
    caller::KEY,
    over_both,
    tls::{Authority, TlsFiles, VALID},
};
use tempfile::NamedTempFile;
use tokio_rustls::TlsConnector;
use tonic::Code;

use super::connector;

/// A gateway in static mode on a sandbox, whose clients need certificates.
struct Shared {
    gateway: Gateway,
    authority: Authority,
    clients: Authority,
    _files: (TlsFiles, NamedTempFile),
}

impl Shared {
    async fn start(protocol: Protocol) -> Self {
        let (authority, clients) = (Authority::new(), Authority::new());
        let files = TlsFiles::new(&authority.issue(&[kit::HOST], VALID), &clients);
        let key = NamedTempFile::new().unwrap();
        std::fs::write(key.path(), KEY).unwrap();
        let path = key.path().to_str().unwrap();
        let mode = ["--auth-mode", "static", "--partner-key-file", path];
        let flags = [&mode[..], &files.mutual()].concat();
        let gateway = Gateway::on_sandbox_over(protocol, &flags).await;
        Self { gateway, authority, clients, _files: (files, key) }
    }

    fn client(&self, name: &str) -> TlsConnector {
        let shown = self.clients.issue(&[name], VALID);
        connector(self.authority.client(Some(&shown)))
    }
}

#[tokio::test]
async fn clients_with_one_request_id_and_message_each_make_their_share() {
    over_both(async |protocol| {
        let shared = Shared::start(protocol).await;
        let before = shared.gateway.sandbox().shares().len();
        let create = async |tls: &TlsConnector| {
            let create = Caller::create(shared.gateway.address).tls(tls);
            let reply = create.with("x-request-id", "of-both").send().await;
            assert_eq!(reply.code(), Code::Ok, "{}", reply.message());
            reply.headers["idempotency-key"].clone()
        };
        let [orders, billing] =
            ["spiffe://mesh/orders", "spiffe://mesh/billing"].map(|id| shared.client(id));
        let key = create(&orders).await;
        assert_eq!(create(&orders).await, key, "a proxy sends it again");
        assert_ne!(create(&billing).await, key);
        assert_eq!(shared.gateway.sandbox().shares().len(), before + 2);
    })
    .await;
}
