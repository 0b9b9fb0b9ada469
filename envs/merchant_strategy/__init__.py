"""MerchantStrategy-v0: run a merchant's shop on a promotion budget (PGHS)."""
