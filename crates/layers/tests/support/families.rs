//! Tests of the catalogue, family by family: they run side by side and can be chosen by name.

/// A test for each family of the catalogue, which calls a check with each of its entries.
macro_rules! test_each_family {
    ($check:path: $($family:ident)*) => {
        $(
            #[test]
            fn $family() -> striate_tensor::Result<()> {
                let family = striate_layers::catalog::families()
                    .iter()
                    .find(|f| f.name == stringify!($family))
                    .expect("a family of the catalogue");
                family.entries.iter().try_for_each($check)
            }
        )*
        #[test]
        fn no_family_is_left_out() {
            let listed = [$(stringify!($family)),*];
            let all: Vec<_> = striate_layers::catalog::families().iter().map(|f| f.name).collect();
            assert_eq!(all, listed);
        }
    };
    ($check:path) => {
        $crate::families::test_each_family!($check: channel_attention mixed_attention selective long_range
            dynamic reparameterized light blocks norms regularization multi_scale fusion residual_attention
            downsampling geometry deformable temporal);
    };
}
pub(crate) use test_each_family;
