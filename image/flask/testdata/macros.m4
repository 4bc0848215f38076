dnl Stand-ins for the macros of Xen's xen.if: the same names, and of their
dnl permissions those that matter to who may touch whose memory.
define(`declare_domain', `
type $1, domain_type; type $1_self, domain_type, domain_self_type; type $1_channel, event_type;
type_transition $1 $1:domain $1_self; type_transition $1 domain_type:event $1_channel;
allow $1 $1_self:grant { query setup }; allow $1 $1_self:mmu { adjust physmap map_read map_write stat };
allow $1 $1_self:hvm { getparam setparam };')
define(`declare_build_label', `
type $1_building, domain_type; type_transition $1_building domain_type:event $1_channel;
allow $1_building $1:domain transition;')
define(`create_common', `
allow $1 $2:domain { create max_vcpus setdomainmaxmem getdomaininfo hypercall setvcpucontext getvcpucontext };
allow $1 $2:domain2 { settsc soft_reset }; allow $1 $2:shadow enable; allow $1 $2:grant setup;
allow $1 $2:mmu { map_read map_write adjust memorymap physmap pinpage };
allow $1 $2:hvm { getparam setparam hvmctl sethvmc };')
define(`create_domain', `create_common($1, $2) allow $1 $2_channel:event create;')
define(`create_domain_build_label', `create_common($1, $2_building)
allow $1 $2_channel:event create; allow $1 $2_building:domain2 relabelfrom;
allow $1 $2:domain2 relabelto; allow $2_building $2:domain transition;')
define(`manage_domain', `
allow $1 $2:domain { getdomaininfo getvcpuinfo pause unpause shutdown destroy setdomainmaxmem resume };')
define(`migrate_domain_out', `
allow $1 $2:hvm { gethvmc getparam }; allow $1 $2:mmu { stat pageinfo map_read };
allow $1 $2:domain getvcpucontext; allow $1 $2:shadow { enable disable logdirty };')
define(`create_channel', `allow $1 $3:event { create send status }; allow $3 $2:event bind;')
define(`domain_comms', `create_channel($1, $2, $1_channel) create_channel($2, $1, $2_channel)
allow $1 $2:grant { map_read map_write copy unmap }; allow $2 $1:grant { map_read map_write copy unmap };')
define(`domain_self_comms', `create_channel($1, $1_self, $1_channel)
allow $1 $1_self:grant { map_read map_write copy unmap };')
define(`use_device_noiommu', `
allow $1 $1_self:mmu exchange; allow $1 $2:resource { use_iommu use_iommu_nointremap use_noiommu };
allow $1 domio_t:mmu { map_read map_write };')
