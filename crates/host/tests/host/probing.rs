//! The probe says of this host what is so.

use crate::support::container;
use hotcell_host::probe::probe;

#[test]
fn the_probe_agrees_with_what_works() {
    let support = probe();
    assert!(support.kernel.contains('.'), "{support:?}");
    let available = |name| support.features.iter().find(|feature| feature.name == name).unwrap().available;
    let works = container().is_some();
    assert_eq!(available("container"), works);
    for feature in &support.features {
        assert!(feature.available == (feature.errno == 0), "{feature:?}");
        assert!(!works || feature.available || !feature.required, "{feature:?}");
    }
}
