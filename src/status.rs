//! stub
/// v
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// f
    pub field: String,
    /// d
    pub description: String,
}
