// Loads a service by reflection, as Postman-like clients do: one request for its
// symbol, and no request for the files that it imports.
//
//   node reflection.js ADDRESS SERVICE
//
// Prints {"services", "rpcs"}: the names of all services, and of the RPCs of this one.
import grpc from "@grpc/grpc-js";
import reflection from "grpc-reflection-js";

const [address, service] = process.argv.slice(2);
const client = new reflection.Client(address, grpc.credentials.createInsecure());
const services = await client.listServices();
const root = await client.fileContainingSymbol(service);
root.resolveAll();
console.log(JSON.stringify({ services, rpcs: Object.keys(root.lookupService(service).methods) }));
client.grpcClient.close();
