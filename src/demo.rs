//! The gateway at work, for newcomers.
//!
//! A generated client lists, shares and lists again, over real sockets, on the
//! embedded simulator of Polytomic.

use std::{error::Error, io::Write, net::SocketAddr};

use tokio::sync::oneshot;
use tonic::{Request, transport::Channel};

use crate::{
    app::App,
    config::{Cli, Command},
    contract::DESCRIPTOR_SET,
    proto::{
        Connection, ConnectionType, CreatePartnerSharedConnectionRequest,
        ListPartnerSharedConnectionsRequest,
        partner_shared_connections_service_client::PartnerSharedConnectionsServiceClient,
    },
    sandbox::seed,
};

type Client = PartnerSharedConnectionsServiceClient<Channel>;

/// Runs the demo and writes each RPC and its result.
///
/// # Errors
///
/// If a server does not start, a call fails or `out` cannot be written to.
pub async fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let command = "polytomic-gateway serve --sandbox --listen 127.0.0.1:0 --lame-duck 0";
    let Command::Serve(flags) = Cli::from_arguments(command.split(' '))?.command else {
        unreachable!("the command is serve")
    };
    let app = App::bind(&flags, DESCRIPTOR_SET).await?;
    let address = app.local_addr();
    writeln!(
        out,
        "A gateway listens on {address}, with a sandbox of Polytomic behind it.\n"
    )?;

    let (stop, stopped) = oneshot::channel::<()>();
    let gateway = tokio::spawn(app.run(async {
        let _ = stopped.await;
    }));
    call(address, out).await?;
    drop(stop);
    gateway.await?;
    write_grpcurl_commands(out)
}

async fn call(address: SocketAddr, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let mut client = Client::connect(format!("http://{address}")).await?;
    list(&mut client, out).await?;
    create(&mut client, out).await?;
    list(&mut client, out).await
}

async fn list(client: &mut Client, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let request = ListPartnerSharedConnectionsRequest {
        org_id: seed::OWNER_ORGANIZATION.to_owned(),
        connection_id: seed::SHARED_CONNECTION.to_owned(),
    };
    writeln!(out, "ListPartnerSharedConnections")?;
    writeln!(out, "  org_id:        {}", request.org_id)?;
    writeln!(out, "  connection_id: {}", request.connection_id)?;
    let response = client.list_partner_shared_connections(authorized(request)).await?;
    let connections = response.into_inner().connections;
    writeln!(out, "OK, {} shared copies", connections.len())?;
    for connection in &connections {
        describe(connection, out)?;
    }
    writeln!(out)?;
    Ok(())
}

fn describe(connection: &Connection, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let kind = connection.r#type.as_ref().map(ConnectionType::name);
    writeln!(out, "  {} {}", connection.id(), connection.name())?;
    writeln!(
        out,
        "    in organization {}, {}, {}",
        connection.organization_id(),
        kind.unwrap_or("of unknown type"),
        connection.status(),
    )?;
    Ok(())
}

async fn create(client: &mut Client, out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let request = CreatePartnerSharedConnectionRequest {
        org_id: seed::OWNER_ORGANIZATION.to_owned(),
        connection_id: seed::SHARED_CONNECTION.to_owned(),
        child_organization_id: seed::THIRD_CHILD_ORGANIZATION.to_owned(),
        name: Some("Shared by the demo".to_owned()),
    };
    writeln!(out, "CreatePartnerSharedConnection")?;
    writeln!(out, "  org_id:                {}", request.org_id)?;
    writeln!(out, "  connection_id:         {}", request.connection_id)?;
    writeln!(out, "  child_organization_id: {}", request.child_organization_id)?;
    writeln!(out, "  name:                  {}", request.name())?;
    let response = client.create_partner_shared_connection(authorized(request)).await?;
    let key =
        response.metadata().get("idempotency-key").and_then(|key| key.to_str().ok());
    writeln!(out, "OK, with the idempotency key {}", key.unwrap_or("unknown"))?;
    let copy = response.into_inner().connection.unwrap_or_default();
    writeln!(out, "  {}\n", copy.id)?;
    Ok(())
}

/// Adds the credentials that every RPC needs.
fn authorized<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", seed::PARTNER_KEY);
    let bearer = bearer.parse().expect("the sandbox's key is visible ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn write_grpcurl_commands(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        r#"To do the same with grpcurl, start the gateway in one terminal:

  cargo run -- serve --sandbox

and call it from another:

  grpcurl -plaintext -H 'authorization: Bearer {key}' \
    -d '{{"org_id": "{owner}", "connection_id": "{connection}"}}' \
    127.0.0.1:50051 polytomic.connections.v1.PartnerSharedConnectionsService/ListPartnerSharedConnections

  grpcurl -plaintext -H 'authorization: Bearer {key}' \
    -d '{{"org_id": "{owner}", "connection_id": "{connection}", "child_organization_id": "{child}"}}' \
    127.0.0.1:50051 polytomic.connections.v1.PartnerSharedConnectionsService/CreatePartnerSharedConnection"#,
        key = seed::PARTNER_KEY,
        owner = seed::OWNER_ORGANIZATION,
        connection = seed::SHARED_CONNECTION,
        child = seed::THIRD_CHILD_ORGANIZATION,
    )?;
    Ok(())
}
