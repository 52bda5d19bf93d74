//! What the gateway shows of a certificate in use.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost_types::Timestamp;
use tracing::warn;
use x509_parser::time::ASN1Time;

use super::{PemFile, Problem, identity};

/// The last part of a certificate's time, in which it should have been replaced: a tenth of
/// it, and up to this. Certificates of a mesh last for hours.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a moment stands to the dates of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    NotYet,
    Valid,
    ExpiresSoon,
    Expired,
}

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

    /// Returns how a moment stands to the dates.
    pub(super) fn validity(&self, now: SystemTime) -> Validity {
        let left = self.not_after.duration_since(now);
        let span = self.not_after.duration_since(self.not_before).unwrap_or_default();
        match left {
            Err(_) => Validity::Expired,
            Ok(_) if now < self.not_before => Validity::NotYet,
            Ok(left) if left < SOON.min(span / 10) => Validity::ExpiresSoon,
            Ok(_) => Validity::Valid,
        }
    }

    /// Logs that the certificate is not valid, or soon will not be. The clock may be wrong,
    /// and clients may not check it, so the gateway uses it in any case.
    pub(super) fn warn(&self, validity: Validity) {
        let (file, name) = (self.path.display(), &self.name);
        let (problem, date) = match validity {
            Validity::Valid => return,
            Validity::ExpiresSoon => {
                let date = rfc3339(self.not_after);
                warn!(%file, name, date, "certificate expires soon");
                return;
            }
            Validity::NotYet => ("not valid yet", self.not_before),
            Validity::Expired => ("expired", self.not_after),
        };
        warn!(%file, name, problem, date = rfc3339(date), "certificate is not valid now");
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
