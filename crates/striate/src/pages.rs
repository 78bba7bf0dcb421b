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
    acnet asff aspp bifpn condconv coordconv dbb deeplab doconv drop_block dwsep dynamic_conv fpn
    frn ghost grn group_norm inception instance_norm2d involution invres layer_norm2d mixconv odconv
    pconv psp repvgg res2net rfaconv rfb rowcol spp std_conv stochastic_depth switchable_norm
}
