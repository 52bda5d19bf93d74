// Makes one call with grpc-js and the .proto files, loaded as they are.
//
//   node client.js PROTO_DIRECTORY ADDRESS < call.json
//
// The call is {"rpc", "request", "metadata", "tls"}; the last is null or the paths {"ca",
// "certificate", "key"} of PEM files, of which the last two may be null. Prints {"response"}, or the
// google.rpc.Status of the failure, in the JSON form of protobuf. Of a stream, prints
// {"received", "first", "last"}: how many connections, and the ids of two.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";
import { getProtoPath } from "google-proto-files";

const [protoDirectory, address] = process.argv.slice(2);
const { rpc, request, metadata, tls, timeout = 20 } = JSON.parse(readFileSync(0, "utf8"));
const options = { keepCase: true, longs: String };

const { polytomic } = grpc.loadPackageDefinition(
  loader.loadSync("polytomic/connections/v1/partner_shared_connections_service.proto", {
    ...options,
    includeDirs: [protoDirectory],
  }),
);
const client = new polytomic.connections.v1.PartnerSharedConnectionsService(
  address,
  credentials(tls),
);
const parameters = [
  request,
  grpc.Metadata.fromHttp2Headers(metadata),
  { deadline: Date.now() + timeout * 1000 },
];
if (rpc.startsWith("Stream")) {
  receive(client[rpc](...parameters));
} else {
  client[rpc](...parameters, (error, response) => {
    print(error ? failure(error) : { response: withPlainConnections(response) });
  });
}

function credentials(tls) {
  if (!tls) return grpc.credentials.createInsecure();
  const files = [tls.ca, tls.key, tls.certificate];
  return grpc.credentials.createSsl(...files.map((file) => file && readFileSync(file)));
}

function print(outcome) {
  console.log(JSON.stringify(outcome));
  client.close();
}

// Counts the messages of a stream.
function receive(stream) {
  const outcome = { received: 0, first: "", last: "" };
  stream.on("data", ({ connection }) => {
    outcome.received += 1;
    outcome.first ||= connection.id;
    outcome.last = connection.id;
  });
  stream.on("error", (error) => print(failure(error)));
  stream.on("end", () => print(outcome));
}

function failure(error) {
  const errors = loader.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"], {
    ...options,
    includeDirs: [getProtoPath("..")],
  });
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (bytes === undefined) return { code: error.code, message: error.details };
  const status = errors["google.rpc.Status"].deserialize(bytes);
  const details = status.details.map(({ type_url, value }) => {
    const name = type_url.split("/").pop();
    const detail = errors[name].deserialize(value);
    if (detail.retry_delay) detail.retry_delay = duration(detail.retry_delay);
    return { "@type": type_url, ...detail };
  });
  return { code: error.code, message: error.details, details };
}

// proto-loader has no JSON form of google.protobuf.Struct, Timestamp and Duration.
function withPlainConnections({ connections, ...rest }) {
  if (connections === undefined) return rest;
  return {
    connections: connections.map(({ configuration, created_at, updated_at, ...connection }) => ({
      ...connection,
      ...(configuration && { configuration: struct(configuration) }),
      ...(created_at && { created_at: timestamp(created_at) }),
      ...(updated_at && { updated_at: timestamp(updated_at) }),
    })),
  };
}

function struct({ fields }) {
  return Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, value(field)]));
}

function value({ kind, ...field }) {
  const [name, content] = Object.entries(field)[0];
  if (name === "structValue") return struct(content);
  if (name === "listValue") return (content.values ?? []).map(value);
  return name === "nullValue" ? null : content;
}

function timestamp({ seconds, nanos = 0 }) {
  return new Date(Number(seconds) * 1000 + nanos / 1e6).toISOString();
}

function duration({ seconds = 0, nanos = 0 }) {
  return `${seconds}.${String(nanos).padStart(9, "0")}s`;
}
