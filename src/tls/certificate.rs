//! What the gateway shows of a certificate in use.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost_types::Timestamp;
use tracing::warn;
use x509_parser::time::ASN1Time;

use super::{PemFile, Problem, identity};

/// A certificate in use, for the log, metrics and pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The flag of the file that has it.
    pub flag: &'static str,
    /// The path of that file.
    pub path: PathBuf,
    /// Whose it is: a name of its owner, or its whole subject.
    pub name: String,
    /// The first moment at which it is valid.
    pub not_before: SystemTime,
    /// The last moment at which it is valid.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Describes the certificate `number` of a file, counted from 1.
    pub(super) fn of(file: &PemFile, number: usize, der: &[u8]) -> Result<Self, Problem> {
        let parsed = identity::parse(der).ok_or(Problem::Certificate(number))?;
        let validity = parsed.validity();
        let name =
            identity::name(&parsed).unwrap_or_else(|| parsed.subject().to_string());
        Ok(Self {
            flag: file.flag,
            path: file.path.clone(),
            name,
            not_before: system_time(validity.not_before),
            not_after: system_time(validity.not_after),
        })
    }

    /// Logs that the certificate is not valid now, if so. The clock may be wrong, and
    /// clients may not check it, so the gateway uses it in any case.
    pub(super) fn warn_unless_valid(&self) {
        let now = SystemTime::now();
        let (problem, when) = if now > self.not_after {
            ("expired", self.not_after)
        } else if now < self.not_before {
            ("not valid yet", self.not_before)
        } else {
            return;
        };
        warn!(
            file = %self.path.display(),
            name = self.name,
            problem,
            date = rfc3339(when),
            "certificate is not valid now"
        );
    }
}

/// Writes a moment as RFC 3339 has it.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    Timestamp::from(moment).to_string()
}

/// Dates before 1970 become 1970.
fn system_time(date: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(date.timestamp()).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(seconds)
}
