//! The programs of the modules' pages are tests.

macro_rules! pages {
    ($($name:ident)*) => {
        $(
            #[doc = include_str!(concat!("../../../docs/modules/", stringify!($name), ".md"))]
            mod $name {}
        )*
    };
}

pages! {
    asff aspp bifpn condconv deeplab doconv dynamic_conv fpn involution odconv psp rfaconv rfb spp std_conv
}
