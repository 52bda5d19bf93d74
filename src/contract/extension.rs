//! Access to options that are extensions. Generated code drops them, so the
//! contract reads them by reflection.

use prost_reflect::{DescriptorPool, DynamicMessage, Value};

/// Returns the value of an option, if it is set and its file is in the pool.
pub(super) fn get(
    pool: &DescriptorPool,
    options: &DynamicMessage,
    name: &str,
) -> Option<Value> {
    let extension = pool.get_extension_by_name(name)?;
    options
        .has_extension(&extension)
        .then(|| options.get_extension(&extension).into_owned())
}
