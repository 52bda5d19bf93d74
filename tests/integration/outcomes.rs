//! The two RPCs without failures: the REST request, and the response.

use kit::{
    Caller, Fake, Gateway,
    caller::{ID, KEY},
    fake::Response,
    over_both,
};
use polytomic_gateway::proto::{
    CreatePartnerSharedConnectionRequest, CreatePartnerSharedConnectionResponse,
    ListPartnerSharedConnectionsResponse,
};
use prost_types::{Timestamp, value::Kind};
use tonic::Code;

/// The response on the page "List Partner Shared Connections".
const DOCUMENTED_LIST: &str = r#"{
 "data": [
  {
   "api_calls_last_24_hours": 2021,
   "configuration": {
    "database": "example",
    "hostname": "postgres.example.com",
    "password": "********",
    "port": 5432,
    "username": "user"
   },
   "created_at": "2024-01-15T09:30:00Z",
   "created_by": {
    "id": "12345678-1234-1234-1234-123456789012",
    "name": "John Doe",
    "type": "user"
   },
   "id": "248df4b7-aa70-47b8-a036-33ac447e668d",
   "name": "My Postgres Connection",
   "organization_id": "248df4b7-aa70-47b8-a036-33ac447e668d",
   "parent_connection_id": "248df4b7-aa70-47b8-a036-33ac447e668d",
   "policies": [
    "248df4b7-aa70-47b8-a036-33ac447e668d"
   ],
   "rate_limit": {
    "currently_limited": true,
    "expires_at": "2024-01-15T09:31:00Z",
    "limited_since": "2024-01-15T09:30:00Z"
   },
   "saved": true,
   "status": "healthy",
   "status_error": "error message",
   "type": {
    "id": "postgresql",
    "logo_dark_url": "https://connect-assets.polytomic.com/logos/postgresql-dark.svg",
    "logo_url": "https://connect-assets.polytomic.com/logos/postgresql.svg",
    "name": "PostgreSQL",
    "operations": [
     "bulksyncsource"
    ]
   },
   "updated_at": "2024-01-15T09:30:00Z",
   "updated_by": {
    "id": "12345678-1234-1234-1234-123456789012",
    "name": "John Doe",
    "type": "user"
   }
  }
 ]
}"#;

/// The response on the page "Create Partner Shared Connection".
const DOCUMENTED_CREATE: &str = r#"{
 "data": {
  "id": "248df4b7-aa70-47b8-a036-33ac447e668d"
 }
}"#;

#[tokio::test]
async fn list_is_the_documented_get() {
    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, DOCUMENTED_LIST).await;
        let gateway = Gateway::on(&fake).await;
        let reply =
            Caller::list(gateway.address).with("x-request-id", "r-1").send().await;

        let seen = fake.only();
        let path = format!("/api/organizations/{ID}/connections/{ID}/shared");
        assert_eq!(seen.line, format!("GET {path} {protocol}"));
        assert_eq!(
            seen.header_names(),
            [
                "accept",
                "accept-encoding",
                "authorization",
                "host",
                "user-agent",
                "x-polytomic-version",
                "x-request-id"
            ]
        );
        assert_eq!(seen.header("accept"), Some("application/json"));
        assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {KEY}")));
        assert_eq!(seen.header("x-polytomic-version"), Some("2025-09-18"));
        assert_eq!(seen.header("x-request-id"), Some("r-1"));
        assert!(seen.header("user-agent").unwrap().starts_with("polytomic-gateway/"));
        assert!(seen.body.is_empty());

        assert_eq!(reply.headers["x-request-id"], "r-1");
        assert!(!reply.headers.contains_key("authorization"));
        let list: ListPartnerSharedConnectionsResponse = reply.decode();
        let [connection] = &list.connections[..] else { panic!("{list:?}") };
        assert_eq!(connection.api_calls_last_24_hours, Some(2021));
        let configuration = &connection.configuration.as_ref().unwrap().fields;
        assert_eq!(configuration["port"].kind, Some(Kind::NumberValue(5432.0)));
        assert_eq!(
            configuration["password"].kind,
            Some(Kind::StringValue("********".into()))
        );
        assert_eq!(configuration.len(), 5);
        let moment = Timestamp { seconds: 1_705_311_000, nanos: 0 };
        assert_eq!(connection.created_at, Some(moment));
        assert_eq!(connection.updated_at, Some(moment));
        let actor = connection.created_by.as_ref().unwrap();
        assert_eq!(actor.id(), "12345678-1234-1234-1234-123456789012");
        assert_eq!((actor.name(), actor.r#type()), ("John Doe", "user"));
        assert_eq!(connection.updated_by.as_ref(), Some(actor));
        for id in [
            &connection.id,
            &connection.organization_id,
            &connection.parent_connection_id,
        ] {
            assert_eq!(id.as_deref(), Some(ID));
        }
        assert_eq!(connection.name(), "My Postgres Connection");
        assert_eq!(connection.policies, [ID]);
        assert_eq!(connection.saved, Some(true));
        assert_eq!(
            (connection.status(), connection.status_error()),
            ("healthy", "error message")
        );
        let kind = connection.r#type.as_ref().unwrap();
        assert_eq!((kind.id(), kind.name()), ("postgresql", "PostgreSQL"));
        assert!(kind.logo_url().ends_with("/postgresql.svg"));
        assert!(kind.logo_dark_url().ends_with("/postgresql-dark.svg"));
        let limit = connection.rate_limit.as_ref().unwrap();
        assert!(limit.currently_limited());
        let since = limit.limited_since.as_ref().unwrap().seconds;
        assert_eq!(since, 1_705_311_000);
        assert_eq!(limit.expires_at.as_ref().unwrap().seconds, since + 60);
        assert_eq!(kind.operations, ["bulksyncsource"]);
    })
    .await;
}

#[tokio::test]
async fn create_is_the_documented_post() {
    over_both(async |protocol| {
        let fake = Fake::json_over(protocol, 200, DOCUMENTED_CREATE).await;
        let gateway = Gateway::on(&fake).await;
        let request = CreatePartnerSharedConnectionRequest {
            org_id: ID.to_owned(),
            connection_id: ID.to_owned(),
            child_organization_id: ID.to_owned(),
            name: Some("A copy".to_owned()),
        };
        let reply =
            Caller::new(gateway.address, "CreatePartnerSharedConnection", &request)
                .send()
                .await;

        let seen = fake.only();
        let path = format!("/api/organizations/{ID}/connections/{ID}/shared");
        assert_eq!(seen.line, format!("POST {path} {protocol}"));
        assert_eq!(
            seen.header_names(),
            [
                "accept",
                "accept-encoding",
                "authorization",
                "content-length",
                "content-type",
                "host",
                "idempotency-key",
                "user-agent",
                "x-polytomic-version",
                "x-request-id"
            ]
        );
        assert_eq!(seen.header("content-type"), Some("application/json"));
        let length = seen.body.len().to_string();
        assert_eq!(seen.header("content-length"), Some(&*length));
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"child_organization_id": ID, "name": "A copy"})
        );

        let key = seen.header("idempotency-key").unwrap();
        assert_eq!(reply.headers["idempotency-key"], key);
        let created: CreatePartnerSharedConnectionResponse = reply.decode();
        assert_eq!(created.connection.unwrap().id, ID);
    })
    .await;
}

#[tokio::test]
async fn created_share_is_listed() {
    over_both(async |protocol| {
        let gateway = Gateway::on_sandbox_over(protocol, &["--no-key-check"]).await;
        let before: ListPartnerSharedConnectionsResponse =
            Caller::list(gateway.address).send().await.decode();
        let created: CreatePartnerSharedConnectionResponse =
            Caller::create(gateway.address).send().await.decode();
        let after: ListPartnerSharedConnectionsResponse =
            Caller::list(gateway.address).send().await.decode();

        let id = created.connection.unwrap().id;
        assert_eq!(after.connections.len(), before.connections.len() + 1);
        let copy =
            after.connections.iter().find(|connection| connection.id() == id).unwrap();
        assert_eq!(copy.parent_connection_id(), ID);
        assert!(gateway.sandbox().shares().iter().any(|share| share.id == id));
        gateway.stop().await;
    })
    .await;
}

#[tokio::test]
async fn empty_list_is_empty_in_every_notation() {
    over_both(async |protocol| {
        for body in [r#"{"data":[]}"#, r#"{"data":null}"#, "{}"] {
            let fake = Fake::json_over(protocol, 200, body).await;
            let gateway = Gateway::on(&fake).await;
            let list: ListPartnerSharedConnectionsResponse =
                Caller::list(gateway.address).send().await.decode();
            assert!(list.connections.is_empty(), "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn list_of_status_204_is_empty() {
    over_both(async |protocol| {
        let fake = Fake::responding(protocol, [Response::new(204, &[], b"")]).await;
        let gateway = Gateway::on(&fake).await;
        let reply = Caller::list(gateway.address).send().await;
        assert_eq!(reply.code(), Code::Ok);
        assert_eq!(
            reply.decode::<ListPartnerSharedConnectionsResponse>().connections,
            []
        );
    })
    .await;
}

#[tokio::test]
async fn ids_and_numbers_in_a_configuration_arrive_unchanged() {
    over_both(async |protocol| {
        let body = r#"{"data":[{"configuration":{"account":1234567890123456789,
            "ports":[5432,-9007199254740993],"scale":0.1,"limit":1e400}}]}"#;
        let fake = Fake::json_over(protocol, 200, body).await;
        let gateway = Gateway::on(&fake).await;
        let reply = Caller::list(gateway.address).send().await;
        let list: ListPartnerSharedConnectionsResponse = reply.decode();
        let fields = &list.connections[0].configuration.as_ref().unwrap().fields;
        let string = |text: &str| Some(Kind::StringValue(text.to_owned()));
        assert_eq!(fields["account"].kind, string("1234567890123456789"));
        assert_eq!(fields["scale"].kind, Some(Kind::NumberValue(0.1)));
        assert_eq!(fields["limit"].kind, string("1e400"));
        let Some(Kind::ListValue(ports)) = &fields["ports"].kind else {
            panic!("{fields:?}")
        };
        assert_eq!(ports.values[0].kind, Some(Kind::NumberValue(5432.0)));
        assert_eq!(ports.values[1].kind, string("-9007199254740993"));
    })
    .await;
}
