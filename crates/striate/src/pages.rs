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
    acnet asff aspp attention_module bam bifpn blurpool cbam ccnet condconv coord_attention
    coordconv danet dbb dca deeplab deform_conv deform_psroi_pool deform_roi_pool doconv
    double_attention drop_block dwsep dynamic_conv eca ese fpn frn gather_excite gc ghost grn
    group_norm inception instance_norm2d involution invres layer_norm2d mixconv nonlocal odconv
    pconv polarized_attention preact_bottleneck psp repvgg res2net rfaconv rfb roi_pool rowcol
    scse se sge shuffle_attention simam sk split_attention spp std_conv stn stochastic_depth
    switchable_norm tcn tps_stn triplet
}
