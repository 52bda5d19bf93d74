//! Responses as Polytomic's server would send them: compact, as Go's encoder
//! prints JSON, with keys in the documented order and values that vary.

use std::fmt::Write as _;

/// Types of connection: the id, the name, and a configuration with `#` for what
/// differs from one connection to the next.
const TYPES: [(&str, &str, &str); 6] = [
    (
        "postgresql",
        "PostgreSQL",
        r#"{"database":"tenant_#","hostname":"pg-#.eu-west-1.example.com","password":"********","port":5432,"ssh":false,"username":"polytomic"}"#,
    ),
    (
        "snowflake",
        "Snowflake",
        r#"{"account":"xy#.eu-central-1","dbname":"ANALYTICS","params":"","use_bulk_sync_staging_schema":true,"username":"POLYTOMIC","warehouse":"LOAD_#"}"#,
    ),
    (
        "salesforce",
        "Salesforce",
        r#"{"connect_mode":"browser","daily_api_calls":15000,"domain":"https://org-#.my.salesforce.com","enforce_api_limits":true,"oauth_token_expiry":"2026-02-01T10:00:00Z"}"#,
    ),
    (
        "s3",
        "Amazon S3",
        r#"{"auth_mode":"iam_role","aws_user":"arn:aws:iam::12345#:role/sync","csv_has_headers":true,"directory_glob_pattern":"exports/*/#","is_single_table":false,"s3_bucket_name":"acme-exports-#","s3_bucket_region":"us-east-2","single_table_file_formats":["csv","json"],"skip_lines":0}"#,
    ),
    (
        "bigquery",
        "Google BigQuery",
        r#"{"bucket":"staging-#","location":"europe-west3","override_project_id":null,"project_id":"acme-warehouse","service_account":{"client_email":"sync@acme-#.iam.gserviceaccount.com","type":"service_account"},"structured_values_as_json":false}"#,
    ),
    (
        "hubspot",
        "HubSpot",
        r#"{"hub_domain":"shop-#.example.com","hub_id":8812340,"oauth":true}"#,
    ),
];
const PEOPLE: [(&str, &str); 4] = [
    ("Grace Hopper", "user"),
    ("Zoë Müller-Østergård", "user"),
    ("Partner automation", "partner"),
    ("Research \\u0026 Development", "organization"),
];

/// Returns the response to a list of `length` shared connections.
pub(crate) fn list(length: usize) -> String {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let mut json = String::from(r#"{"data":["#);
    for index in 0..length {
        if index > 0 {
            json.push(',');
        }
        connection(&mut json, &mut random);
    }
    json.push_str("]}");
    json
}

fn connection(json: &mut String, random: &mut Random) {
    let (id, name, configuration) = TYPES[random.below(TYPES.len())];
    let number = (10_000 + random.below(90_000)).to_string();

    json.push('{');
    // Only some types of connection count their calls.
    match random.below(3) {
        0 => json.push_str(r#""api_calls_last_24_hours":null,"#),
        _ => write!(json, r#""api_calls_last_24_hours":{},"#, random.below(20_000))
            .unwrap(),
    }
    write!(json, r#""configuration":{},"#, configuration.replace('#', &number)).unwrap();
    write!(json, r#""created_at":"{}","#, random.time()).unwrap();
    actor(json, random, "created_by");
    write!(json, r#""id":"{}","name":"{name} {number}","#, random.uuid()).unwrap();
    write!(json, r#""organization_id":"{}","#, random.uuid()).unwrap();
    write!(json, r#""parent_connection_id":"248df4b7-aa70-47b8-a036-33ac447e668d","#)
        .unwrap();
    match random.below(3) {
        0 => json.push_str(r#""policies":null,"#),
        1 => json.push_str(r#""policies":[],"#),
        _ => write!(json, r#""policies":["{}"],"#, random.uuid()).unwrap(),
    }
    json.push_str(r#""saved":true,"#);
    match random.below(10) {
        0 => json.push_str(
            r#""status":"error","status_error":"dial tcp 10.0.0.7:5432: connect: connection refused","#,
        ),
        _ => json.push_str(r#""status":"healthy","status_error":"","#),
    }
    write!(
        json,
        r#""type":{{"id":"{id}","logo_url":"https://connect-assets.polytomic.com/logos/{id}.svg","name":"{name}","operations":["bulksyncsource","fieldsetquery"]}},"#
    )
    .unwrap();
    write!(json, r#""updated_at":"{}","#, random.time()).unwrap();
    actor(json, random, "updated_by");
    json.pop();
    json.push('}');
}

fn actor(json: &mut String, random: &mut Random, key: &str) {
    let (name, kind) = PEOPLE[random.below(PEOPLE.len())];
    let id = random.uuid();
    write!(json, r#""{key}":{{"id":"{id}","name":"{name}","type":"{kind}"}},"#).unwrap();
}

/// Xorshift: the same responses in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    fn uuid(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(self.next(), self.next())
    }

    fn time(&mut self) -> String {
        let (month, day) = (1 + self.below(12), 1 + self.below(28));
        let (hour, minute, second) = (self.below(24), self.below(60), self.below(60));
        let fraction = match self.below(2) {
            0 => String::new(),
            _ => format!(".{:06}", self.below(1_000_000)),
        };
        format!("2025-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }
}
