//! Where a file lies.

use std::fmt::Write as _;

use jiff::civil::Date;
use trackway_crds::names::label_hash;

/// A folder's name may have 255 bytes; `tenant=` and a hash must fit beside this.
const LONGEST_TENANT: usize = 200;

/// `events/tenant=<percent-encoded>/date=YYYY-MM-DD/<pp>-<first>.parquet`: the file of `tenant`'s events received on `date` within
/// the range of `partition` that begins at sequence `first`.
///
/// All bytes of the tenant but letters, digits, `-`, `_` and `.` are encoded. Of a tenant too long for a folder's name the
/// beginning is followed by `~` and 16 digits of its hash.
#[must_use]
pub fn file_path(tenant: &str, date: Date, partition: u8, first: u64) -> String {
    let folder = tenant_folder(tenant);
    format!("events/tenant={folder}/date={date}/{partition:02}-{first:020}.parquet")
}

/// The value of `tenant=` in a path, see [`file_path`].
#[must_use]
pub fn tenant_folder(tenant: &str) -> String {
    let mut folder = String::new();
    for byte in tenant.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            folder.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(folder, "%{byte:02X}");
        }
        if folder.len() > LONGEST_TENANT {
            return format!("{}~{}", &folder[..LONGEST_TENANT - 20], label_hash(tenant));
        }
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_path_tells_tenant_day_partition_and_place_and_sorts_by_place() {
        let at = |tenant, first| file_path(tenant, date(2026, 11, 22), 7, first);
        assert_eq!(at("octo-org", 42), "events/tenant=octo-org/date=2026-11-22/07-00000000000000000042.parquet");
        assert!(at("a", 9) < at("a", 10));
    }

    #[test]
    fn no_tenant_leaves_its_folder_and_no_two_share_one() {
        assert_eq!(tenant_folder("../a b/ö~%"), "..%2Fa%20b%2F%C3%B6%7E%25");
        let (long, longer) = ("ö".repeat(120), "ö".repeat(121));
        assert!(tenant_folder(&long).len() <= LONGEST_TENANT);
        assert_ne!(tenant_folder(&long), tenant_folder(&longer));
    }
}
