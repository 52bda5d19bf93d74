// Loads a service by server reflection, as Postman and similar clients do.
//
//   node reflection.js ADDRESS SERVICE
//
// Prints the services of the server, and the fields that each RPC of SERVICE takes:
// {"services", "rpcs"}.
import grpc from "@grpc/grpc-js";
import reflection from "grpc-reflection-js";

const [address, name] = process.argv.slice(2);
const client = new reflection.Client(address, grpc.credentials.createInsecure());

const services = await client.listServices();
const root = await client.fileContainingSymbol(name);
const rpcs = root.lookupService(name).methodsArray.map((rpc) => {
  const request = rpc.resolve().resolvedRequestType;
  return [rpc.name, request.fieldsArray.map((field) => field.name)];
});
console.log(JSON.stringify({ services, rpcs: Object.fromEntries(rpcs) }));
client.grpcClient.close();
