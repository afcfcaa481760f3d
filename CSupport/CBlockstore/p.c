int cbs_placeholder;
